#include "unireplk/data/image/color.h"

#include <algorithm>
#include <array>
#include <utility>

#include "unireplk/core/error.h"

namespace unireplk::data::image {
namespace {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<int64_t, 256>;

template <class Function>
Table table_of(Function function) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = static_cast<uint8_t>(function(i));
  return table;
}

Image looked_up(Image image, const Table& table) {
  for (uint8_t& value : image.pixels) value = table[value];
  return image;
}

/// Each channel by the table that `make` finds for its histogram.
template <class Make>
Image looked_up_by_histogram(Image image, Make make) {
  const auto channels = static_cast<size_t>(image.channels);
  std::array<Histogram, 3> counts{};
  for (size_t i = 0; i < image.pixels.size(); i += channels) {
    for (size_t c = 0; c < channels; ++c) ++counts[c][image.pixels[i + c]];
  }
  std::array<Table, 3> tables;
  for (size_t c = 0; c < channels; ++c) tables[c] = make(counts[c]);
  for (size_t i = 0; i < image.pixels.size(); i += channels) {
    for (size_t c = 0; c < channels; ++c) image.pixels[i + c] = tables[c][image.pixels[i + c]];
  }
  return image;
}

bool is_used(int64_t count) { return count > 0; }

Table identity() {
  return table_of([](int i) { return i; });
}

Table autocontrast_table(const Histogram& counts) {
  const auto low = static_cast<int>(std::find_if(counts.begin(), counts.end(), is_used) - counts.begin());
  const auto high = static_cast<int>(counts.rend() - std::find_if(counts.rbegin(), counts.rend(), is_used)) - 1;
  if (high <= low) return identity();
  const double scale = 255.0 / (high - low);
  const double offset = -low * scale;
  return table_of([=](int i) { return std::clamp(static_cast<int>(i * scale + offset), 0, 255); });
}

Table equalize_table(const Histogram& counts) {
  if (std::count_if(counts.begin(), counts.end(), is_used) <= 1) return identity();
  int64_t pixels = 0;
  for (const int64_t count : counts) pixels += count;
  const int64_t step = (pixels - *std::find_if(counts.rbegin(), counts.rend(), is_used)) / 255;
  if (step == 0) return identity();
  int64_t before = step / 2;
  return table_of([&](int i) {
    const int64_t level = before / step;
    before += counts[static_cast<size_t>(i)];
    return std::min<int64_t>(level, 255);
  });
}

/// From `degenerate` (factor 0) over `value` (factor 1) and on, in float, as Pillow's `blend`.
uint8_t blended(int degenerate, int value, float factor) {
  const float mixed = static_cast<float>(degenerate) + factor * static_cast<float>(value - degenerate);
  if (mixed <= 0.0f) return 0;
  return mixed >= 255.0f ? uint8_t{255} : static_cast<uint8_t>(mixed);
}

Image blended_with(Image image, int degenerate, double factor) {
  const auto share = static_cast<float>(factor);
  return looked_up(std::move(image), table_of([=](int i) { return blended(degenerate, i, share); }));
}

/// 3 x 3 with weights 1 and, in the middle, 5, over 13. The order of the sums is part of the result.
Image smoothed(const Image& image) {
  constexpr float kSide = 1.0f / 13.0f, kMiddle = 5.0f / 13.0f;
  Image out = image;
  const int64_t step = image.channels;
  for (int64_t y = 1; y + 1 < image.height; ++y) {
    const uint8_t *above = image.row(y - 1), *here = image.row(y), *below = image.row(y + 1);
    uint8_t* to = out.row(y);
    const auto sum = [step](const uint8_t* row, int64_t i, float middle) {
      const float left = row[i - step], centre = row[i], right = row[i + step];
      return left * kSide + centre * middle + right * kSide;
    };
    for (int64_t i = step; i < image.row_bytes() - step; ++i) {
      float value = 0.5f;
      value += sum(below, i, kSide);
      value += sum(here, i, kMiddle);
      value += sum(above, i, kSide);
      to[i] = static_cast<uint8_t>(value);  // below 256: the weights add up to one
    }
  }
  return out;
}

}  // namespace

Image autocontrast(Image image) { return looked_up_by_histogram(std::move(image), autocontrast_table); }

Image equalize(Image image) { return looked_up_by_histogram(std::move(image), equalize_table); }

Image invert(Image image) {
  return looked_up(std::move(image), table_of([](int i) { return 255 - i; }));
}

Image solarize(Image image, int64_t threshold) {
  return looked_up(std::move(image), table_of([=](int i) { return i < threshold ? i : 255 - i; }));
}

Image solarize_add(Image image, int64_t add) {
  return looked_up(std::move(image), table_of([=](int i) { return i < 128 ? std::min<int64_t>(255, i + add) : i; }));
}

Image posterize(Image image, int64_t bits) {
  UNIREPLK_CHECK(bits >= 0 && bits <= 8, "posterize: {} bits, expected 0 to 8", bits);
  const int mask = ~((1 << (8 - bits)) - 1);
  return looked_up(std::move(image), table_of([=](int i) { return i & mask; }));
}

Image adjust_color(Image image, double factor) {
  if (image.channels == 1) return image;
  const auto share = static_cast<float>(factor);
  for (size_t i = 0; i < image.pixels.size(); i += 3) {
    uint8_t* rgb = &image.pixels[i];
    const int grey = luma(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = blended(grey, rgb[c], share);
  }
  return image;
}

Image adjust_contrast(Image image, double factor) {
  int64_t sum = 0;
  const auto step = static_cast<size_t>(image.channels);
  for (size_t i = 0; i < image.pixels.size(); i += step) {
    sum += step == 1 ? image.pixels[i] : luma(&image.pixels[i]);
  }
  const double mean = static_cast<double>(sum) / static_cast<double>(image.width * image.height);
  return blended_with(std::move(image), static_cast<int>(mean + 0.5), factor);
}

Image adjust_brightness(Image image, double factor) { return blended_with(std::move(image), 0, factor); }

Image adjust_sharpness(Image image, double factor) {
  Image out = smoothed(image);
  const auto share = static_cast<float>(factor);
  for (size_t i = 0; i < out.pixels.size(); ++i) out.pixels[i] = blended(out.pixels[i], image.pixels[i], share);
  return out;
}

}  // namespace unireplk::data::image
