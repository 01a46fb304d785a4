#include "unireplk/formats/safetensors.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "fuzz/words.h"
#include "unireplk/formats/json.h"

namespace unireplk::test {
namespace {

constexpr size_t kBeforeText = 8;  // the length of the text

/// Past the header: its length fits the file and its text is JSON, so that what it says of tensors is looked at.
bool try_safetensors(std::span<const std::byte> bytes) {
  const auto size = std::ssize(bytes);
  const auto length = formats::safetensors_header_bytes(bytes, size, "fuzz.safetensors");
  if (!length) return false;
  const auto header = bytes.first(static_cast<size_t>(*length));
  const auto parsed = formats::parse_safetensors_header(header, size, "fuzz.safetensors");
  if (parsed) {
    for (const auto& tensor : parsed->tensors) {
      require(tensor.offset >= *length && tensor.bytes <= size - tensor.offset, "a tensor leaves the file");
    }
  }
  return formats::parse_json(text_of(header.subspan(kBeforeText)), "").has_value();
}

/// Other words in the text, and its length. What is no such file becomes the numbers of a tensor.
void change_safetensors(Bytes& bytes, const Change&, std::mt19937& random) {
  if (!try_safetensors(bytes)) {
    const formats::SafetensorsEntry whole{.name = "a", .dtype = formats::DType::kU8, .shape = {std::ssize(bytes)}};
    put_text(bytes, 0, 0, formats::safetensors_header(std::span(&whole, 1), {}));
  }
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), kBeforeText);
  std::string text(text_of(bytes).substr(kBeforeText, size));
  swap_words(text, random);
  put_text(bytes, kBeforeText, size, text);
  size = text.size();
  std::memcpy(bytes.data(), &size, kBeforeText);
}

}  // namespace

const Target kTarget{.try_bytes = try_safetensors, .change_within = change_safetensors};

}  // namespace unireplk::test
