#include "unireplk/formats/idx.h"

#include <string>

#include "fuzz/target.h"

namespace unireplk::test {
namespace {

/// Past the header: type and extents are sound, and the file is held to the size they promise.
bool try_idx(std::span<const std::byte> bytes) {
  const auto tensor = formats::parse_idx(bytes, "fuzz.idx");
  if (!tensor) return tensor.problem().message.find("bytes of data") != std::string::npos;
  require(formats::dense_bytes(tensor->dtype, tensor->shape) == std::ssize(tensor->bytes),
          "bytes do not fit the shape");
  return true;
}

/// Other data behind the header of a plain file. What does not get there becomes a list of numbers.
void change_idx(Bytes& bytes, const Change& change, std::mt19937&) {
  if (!try_idx(bytes)) {
    std::string header{0, 0, 8, 1};
    for (int shift = 24; shift >= 0; shift -= 8) header += static_cast<char>(bytes.size() >> shift);
    put_text(bytes, 0, 0, header);
  }
  const size_t header_bytes = 4 + 4 * std::to_integer<size_t>(bytes[3]);
  change_behind(bytes[0] == std::byte{0} ? std::min(header_bytes, bytes.size()) : 0, bytes, change);
}

}  // namespace

const Target kTarget{.try_bytes = try_idx, .change_within = change_idx};

}  // namespace unireplk::test
