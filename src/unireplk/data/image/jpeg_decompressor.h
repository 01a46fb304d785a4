#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "unireplk/data/image/jpeg_errors.h"

namespace unireplk::data::image {

/// A decompressor of libjpeg-turbo for one file after another.
class JpegDecompressor {
 public:
  JpegDecompressor();
  ~JpegDecompressor() { jpeg_destroy_decompress(&state_); }
  JpegDecompressor(const JpegDecompressor&) = delete;
  JpegDecompressor& operator=(const JpegDecompressor&) = delete;

  /// Call work(state). The library leaves `work` by longjmp when a file is bad, so nothing that it makes may have a
  /// destructor, and it must not throw. A warning of the library counts as an error, but for stray bytes right before
  /// the end marker: they follow complete data, and photos in the wild have them.
  ///
  /// \return false after an error; the file cannot be gone on with then.
  template <class Work>
  bool run(const Work& work) {
    if (setjmp(errors_.jump) != 0) {
      jpeg_abort_decompress(&state_);
      return false;
    }
    work(state_);
    return true;
  }

  /// What the last error was.
  std::string reason() const { return errors_.reason; }

  /// Begin with a file: read all in front of its pixels. \return false as run().
  bool read_header(std::span<const std::byte> file);

  /// What is known of the file that was begun with.
  const jpeg_decompress_struct& state() const { return state_; }

 private:
  static void take_message(j_common_ptr state, int level);
  static void limit_scans(j_common_ptr state);

  jpeg_decompress_struct state_{};
  jpeg_progress_mgr progress_{};
  JpegErrors errors_;
};

}  // namespace unireplk::data::image
