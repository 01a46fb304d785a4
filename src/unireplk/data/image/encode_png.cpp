#include "unireplk/data/image/encode_png.h"

#include <spng.h>

#include <cstdlib>
#include <memory>

#include "unireplk/core/error.h"

namespace unireplk::data::image {
namespace {

struct FreeEncoder {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};

struct FreeBytes {
  void operator()(void* bytes) const { std::free(bytes); }
};

}  // namespace

std::vector<std::byte> encode_png(const Image& image) {
  const std::unique_ptr<spng_ctx, FreeEncoder> encoder(spng_ctx_new(SPNG_CTX_ENCODER));
  UNIREPLK_CHECK(encoder, "cannot start the PNG encoder");
  spng_ihdr header{};
  header.width = static_cast<uint32_t>(image.width);
  header.height = static_cast<uint32_t>(image.height);
  header.bit_depth = 8;
  header.color_type = image.channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR;
  int code = spng_set_option(encoder.get(), SPNG_ENCODE_TO_BUFFER, 1);
  if (code == SPNG_OK) code = spng_set_ihdr(encoder.get(), &header);
  if (code == SPNG_OK) {
    code =
        spng_encode_image(encoder.get(), image.pixels.data(), image.pixels.size(), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  }
  size_t size = 0;
  const std::unique_ptr<void, FreeBytes> bytes(code == SPNG_OK ? spng_get_png_buffer(encoder.get(), &size, &code)
                                                               : nullptr);
  UNIREPLK_CHECK(code == SPNG_OK, "cannot write a PNG image of {} x {}: {}", image.width, image.height,
                 spng_strerror(code));
  const auto* begin = static_cast<const std::byte*>(bytes.get());
  return {begin, begin + size};
}

}  // namespace unireplk::data::image
