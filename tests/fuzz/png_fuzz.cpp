#include <spng.h>

#include "fuzz/decoding.h"
#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/checksum.h"

namespace unireplk::test {
namespace {

constexpr size_t kSignature = 8, kAround = 12;  // length and type before the data of a chunk, the checksum behind

/// Past the header: libspng accepts the first chunk, which tells size and colours.
bool try_png(std::span<const std::byte> bytes) {
  spng_ctx* decoder = spng_ctx_new(0);
  spng_ihdr header{};
  const bool is_sound =
      spng_set_png_buffer(decoder, bytes.data(), bytes.size()) == 0 && spng_get_ihdr(decoder, &header) == 0;
  spng_ctx_free(decoder);
  try_decoding(bytes, header.width, header.height);
  return is_sound;
}

constexpr std::string_view kBeginning{"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0",
                                      29};  // 8 x 8, RGB

void repair_checksums(std::span<std::byte> file) {
  for (auto rest = file.subspan(std::min(kSignature, file.size())); rest.size() >= kAround;) {
    const size_t size = formats::big_endian(rest.first(4));
    if (size > rest.size() - kAround) return;
    const uint32_t checksum = formats::crc32_of(rest.subspan(4, 4 + size));
    for (size_t i = 0; i < 4; ++i) rest[8 + size + i] = static_cast<std::byte>(checksum >> (24 - 8 * i));
    rest = rest.subspan(kAround + size);
  }
}

/// Anything, and the checksums of all chunks. What is no PNG gets the beginning of one.
void change_png(Bytes& bytes, const Change& change, std::mt19937&) {
  if (!try_png(bytes)) put_text(bytes, 0, std::min(bytes.size(), kBeginning.size()), kBeginning);
  change(bytes);
  repair_checksums(bytes);
}

}  // namespace

const Target kTarget{.try_bytes = try_png, .change_within = change_png};

}  // namespace unireplk::test
