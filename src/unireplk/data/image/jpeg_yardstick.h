#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "unireplk/data/image/jpeg_decompressor.h"

namespace unireplk::data::image {

/// What decoding is measured against: libjpeg-turbo alone decodes a whole JPEG file, with the settings of decode(),
/// into memory that is used again.
class JpegYardstick {
 public:
  /// \return false when the file is no JPEG, or a bad one.
  bool decode(std::span<const std::byte> file);

 private:
  JpegDecompressor jpeg_;
  std::vector<uint8_t> pixels_;
};

}  // namespace unireplk::data::image
