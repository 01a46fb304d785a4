#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/files.h"
#include "support/temporary_folder.h"
#include "unireplk/data/image/image.h"

namespace unireplk::test {

namespace fs = std::filesystem;

/// The folder of UNIREPLK_TEST_DATA, when it is set.
inline std::optional<fs::path> test_data() {
  const char* folder = std::getenv("UNIREPLK_TEST_DATA");
  if (folder == nullptr || *folder == '\0') return {};
  return folder;
}

inline const fs::path clothing = "examples/data/clothing/train";
inline const fs::path one_photo = clothing / "hat/0979a14e-051a-4659-8e87-2f6a424e2c12.jpg";

template <class Bytes = std::initializer_list<uint8_t>>
uint32_t fnv1a(const Bytes& bytes) {
  uint32_t hash = 2166136261u;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 16777619u;
  return hash;
}

/// The source image of spec/image.md section 3.6.
inline data::image::Image spec_image() {
  auto image = data::image::Image::zeros(60, 40, 3);
  const uint32_t start = fnv1a({'i', 'm', 'a', 'g', 'e'});
  for (uint32_t j = 0; j < image.pixels.size(); ++j) {
    uint32_t h = start + j * 2654435761u;
    h = (h ^ h >> 16) * 0x85EBCA6Bu;
    h = (h ^ h >> 13) * 0xC2B2AE35u;
    h ^= h >> 16;
    const uint32_t x = j / 3 % 60, y = j / 180;
    image.pixels[j] = static_cast<uint8_t>((h >> 24) / 4 + (2 * y + 2 * x) % 192);
  }
  return image;
}

/// One of an image's three channels.
inline data::image::Image channel_of(const data::image::Image& image, int64_t channel) {
  auto out = data::image::Image::zeros(image.width, image.height, 1);
  for (size_t i = 0; i < out.pixels.size(); ++i) out.pixels[i] = image.pixels[3 * i + static_cast<size_t>(channel)];
  return out;
}

}  // namespace unireplk::test
