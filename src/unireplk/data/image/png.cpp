#include <spng.h>

#include <memory>

#include "unireplk/data/image/decoders.h"

namespace unireplk::data::image {
namespace {

constexpr size_t kMaxChunkBytes = size_t{1} << 26;  // of one metadata chunk, and of all together

struct FreePng {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};
using PngDecoder = std::unique_ptr<spng_ctx, FreePng>;

Problem corrupt(const std::string& place, int code) {
  return {place, format("truncated or corrupt PNG image ({})", spng_strerror(code)), "Replace the file."};
}

Image first_of_three(const Image& image) {
  Image out = Image::zeros(image.width, image.height, 1);
  for (size_t i = 0; i < out.pixels.size(); ++i) out.pixels[i] = image.pixels[3 * i];
  return out;
}

bool is_grey(const spng_ihdr& header) {
  return header.color_type == SPNG_COLOR_TYPE_GRAYSCALE || header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA;
}

}  // namespace

Result<Image> decode_png(std::span<const std::byte> file, const std::string& place) {
  const PngDecoder decoder(spng_ctx_new(0));
  UNIREPLK_CHECK(decoder, "cannot start the PNG decoder");
  spng_set_chunk_limits(decoder.get(), kMaxChunkBytes, kMaxChunkBytes);
  if (const int code = spng_set_png_buffer(decoder.get(), file.data(), file.size())) return corrupt(place, code);
  spng_ihdr header{};
  if (const int code = spng_get_ihdr(decoder.get(), &header)) return corrupt(place, code);
  if (auto problem = check_dimensions(header.width, header.height, place)) return *std::move(problem);

  Image image = Image::zeros(header.width, header.height, 3);
  const int code = spng_decode_image(decoder.get(), image.pixels.data(), image.pixels.size(), SPNG_FMT_RGB8, 0);
  if (code != SPNG_OK) return corrupt(place, code);
  return is_grey(header) ? first_of_three(image) : std::move(image);
}

}  // namespace unireplk::data::image
