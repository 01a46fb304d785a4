#include "unireplk/data/image/jpeg_decompressor.h"

#include <jerror.h>

#include "unireplk/core/error.h"

namespace unireplk::data::image {

JpegDecompressor::JpegDecompressor() {
  state_.err = errors_.start();
  errors_.manager.emit_message = take_message;
  UNIREPLK_CHECK(run([](jpeg_decompress_struct& state) { jpeg_create_decompress(&state); }),
                 "cannot start the JPEG decoder: {}", reason());
  progress_.progress_monitor = limit_scans;
  state_.progress = &progress_;
}

bool JpegDecompressor::read_header(std::span<const std::byte> file) {
  return run([&](jpeg_decompress_struct& state) {
    jpeg_mem_src(&state, reinterpret_cast<const unsigned char*>(file.data()), file.size());
    jpeg_read_header(&state, TRUE);
  });
}

void JpegDecompressor::take_message(j_common_ptr state, int level) {
  if (level >= 0) return;  // nothing is wrong
  const auto& error = *state->err;
  const bool is_harmless = error.msg_code == JWRN_EXTRANEOUS_DATA && error.msg_parm.i[1] == JPEG_EOI;
  if (!is_harmless) JpegErrors::leave(state);
}

/// A small file may have any number of scans, each of which goes through all pixels.
void JpegDecompressor::limit_scans(j_common_ptr state) {
  constexpr int kMostScans = 500;
  if (reinterpret_cast<j_decompress_ptr>(state)->input_scan_number <= kMostScans) return;
  auto& errors = JpegErrors::of(state);
  std::snprintf(errors.reason, JMSG_LENGTH_MAX, "more than %d scans", kMostScans);
  std::longjmp(errors.jump, 1);
}

}  // namespace unireplk::data::image
