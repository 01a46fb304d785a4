#include "unireplk/data/image/encode_jpeg.h"

#include <cstdlib>

#include "unireplk/core/error.h"
#include "unireplk/data/image/jpeg_errors.h"

namespace unireplk::data::image {
namespace {

/// What the library allocates, freed however the work ends.
struct JpegEncoder {
  jpeg_compress_struct encoder{};
  JpegErrors errors;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;

  JpegEncoder() { encoder.err = errors.start(); }
  ~JpegEncoder() {
    jpeg_destroy_compress(&encoder);
    std::free(bytes);
  }
  JpegEncoder(const JpegEncoder&) = delete;
  JpegEncoder& operator=(const JpegEncoder&) = delete;
};

/// False when the library fails. Holds no object of its own that a jump could skip.
bool run(JpegEncoder& work, const Image& image, int quality) {
  if (setjmp(work.errors.jump) != 0) return false;
  auto& encoder = work.encoder;
  jpeg_create_compress(&encoder);
  jpeg_mem_dest(&encoder, &work.bytes, &work.size);
  encoder.image_width = static_cast<JDIMENSION>(image.width);
  encoder.image_height = static_cast<JDIMENSION>(image.height);
  encoder.input_components = static_cast<int>(image.channels);
  encoder.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&encoder);
  encoder.dct_method = JDCT_ISLOW;
  jpeg_set_quality(&encoder, quality, TRUE);
  jpeg_start_compress(&encoder, TRUE);
  while (encoder.next_scanline < encoder.image_height) {
    auto* row = const_cast<JSAMPLE*>(image.row(encoder.next_scanline));
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  return true;
}

}  // namespace

std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
  JpegEncoder work;
  const bool is_written = run(work, image, quality);
  UNIREPLK_CHECK(is_written, "cannot write a JPEG image of {} x {}: {}", image.width, image.height, work.errors.reason);
  const auto* begin = reinterpret_cast<const std::byte*>(work.bytes);
  return {begin, begin + work.size};
}

}  // namespace unireplk::data::image
