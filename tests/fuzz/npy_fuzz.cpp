#include "unireplk/formats/npy.h"

#include <algorithm>

#include "fuzz/words.h"

namespace unireplk::test {
namespace {

constexpr size_t kBeforeText = 10;  // magic, version 1, length of the text

/// Past the header: its dictionary is sound, and the file is held to the shape.
bool try_npy(std::span<const std::byte> bytes) {
  const auto tensor = formats::parse_npy(bytes, "fuzz.npy");
  if (!tensor) return tensor.problem().message.find("bytes of data for shape") != std::string::npos;
  require(formats::dense_bytes(tensor->dtype, tensor->shape) == std::ssize(tensor->bytes),
          "bytes do not fit the shape");
  const auto view = formats::view_npy(bytes);
  require(!view || (view->shape == tensor->shape && std::ranges::equal(view->bytes, tensor->bytes)),
          "what can stay in the file is not what a copy of it is");
  return true;
}

void put_dictionary(Bytes& bytes, size_t old_size, const std::string& text) {
  put_text(bytes, kBeforeText, old_size, text);
  bytes[8] = static_cast<std::byte>(text.size());
  bytes[9] = static_cast<std::byte>(text.size() >> 8);
}

/// Other words in the dictionary, or other data. What is no such file becomes a list of numbers.
void change_npy(Bytes& bytes, const Change& change, std::mt19937& random) {
  if (!try_npy(bytes) || bytes[6] != std::byte{1}) {
    const std::string dictionary = format("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}", bytes.size());
    put_text(bytes, 0, 0, std::string_view("\x93NUMPY\x01\0\0\0", kBeforeText));
    put_dictionary(bytes, 0, dictionary);
  }
  const size_t size = std::to_integer<size_t>(bytes[8]) | std::to_integer<size_t>(bytes[9]) << 8;
  if (random() % 2 == 0) return change_behind(kBeforeText + size, bytes, change);
  std::string text(text_of(bytes).substr(kBeforeText, size));
  swap_words(text, random);
  put_dictionary(bytes, size, text);
}

}  // namespace

const Target kTarget{.try_bytes = try_npy, .change_within = change_npy};

}  // namespace unireplk::test
