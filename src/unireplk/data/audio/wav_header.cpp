#include "unireplk/data/audio/wav_header.h"

#include <cstring>
#include <limits>

#include "unireplk/formats/byte_order.h"

namespace unireplk::data::audio {
namespace {

constexpr size_t kRiffBytes = 12, kChunkHeader = 8;

bool has_text(std::span<const std::byte> bytes, size_t begin, const char* four) {
  return bytes.size() >= begin + 4 && std::memcmp(bytes.data() + begin, four, 4) == 0;
}

}  // namespace

int64_t missing_wav_bytes(std::span<const std::byte> file) {
  if (!has_text(file, 0, "RIFF") || !has_text(file, 8, "WAVE")) return 0;
  for (size_t at = kRiffBytes; file.size() >= at + kChunkHeader;) {
    const auto size = static_cast<uint32_t>(formats::little_endian(file.subspan(at + 4, 4)));
    const size_t begin = at + kChunkHeader;
    if (has_text(file, at, "data")) {
      const bool is_open = size == std::numeric_limits<uint32_t>::max() || size == 0;
      const auto rest = static_cast<int64_t>(file.size() - begin);
      return is_open || size <= rest ? 0 : size - rest;
    }
    at = begin + size + size % 2;  // chunks begin at even places
  }
  return 0;
}

}  // namespace unireplk::data::audio
