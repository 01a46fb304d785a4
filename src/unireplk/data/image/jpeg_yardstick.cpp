#include "unireplk/data/image/jpeg_yardstick.h"

#include <algorithm>

namespace unireplk::data::image {

bool JpegYardstick::decode(std::span<const std::byte> file) {
  if (!jpeg_.read_header(file)) return false;
  const size_t samples = size_t{4} * jpeg_.state().image_width * jpeg_.state().image_height;
  pixels_.resize(std::max(pixels_.size(), samples));
  return jpeg_.run([&](jpeg_decompress_struct& state) {
    jpeg_start_decompress(&state);
    const size_t row = size_t{state.output_width} * static_cast<size_t>(state.output_components);
    while (state.output_scanline < state.output_height) {
      JSAMPROW rows[2] = {pixels_.data() + row * state.output_scanline,
                          pixels_.data() + row * (state.output_scanline + 1)};
      jpeg_read_scanlines(&state, rows, 2);
    }
    jpeg_finish_decompress(&state);
  });
}

}  // namespace unireplk::data::image
