#include "unireplk/data/image/color.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/data/image/pixel_shape.h"

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

/// Every byte by a function of it, which the compiler can turn into vectors.
template <class Function>
Image changed(Image image, Function function) {
  for (uint8_t& value : image.pixels) value = static_cast<uint8_t>(function(value));
  return image;
}

template <size_t kChannels, class Make>
Image looked_up_by_histogram(Image image, Make make) {
  std::array<Histogram, kChannels> counts{};
  for (size_t i = 0; i < image.pixels.size(); i += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) ++counts[c][image.pixels[i + c]];
  }
  std::array<Table, kChannels> tables;
  std::ranges::transform(counts, tables.begin(), make);
  for (size_t i = 0; i < image.pixels.size(); i += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) image.pixels[i + c] = tables[c][image.pixels[i + c]];
  }
  return image;
}

/// Each channel by the table that `make` finds for its histogram.
template <class Make>
Image looked_up_by_histogram(Image image, Make make) {
  return image.channels == 3 ? looked_up_by_histogram<3>(std::move(image), make)
                             : looked_up_by_histogram<1>(std::move(image), make);
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

/// From one grey level (factor 0) over the image (factor 1) and on, in float, as Pillow's `blend`.
Image led_away(int64_t degenerate, Image image, double factor) {
  kernels::blend(static_cast<uint8_t>(degenerate), static_cast<float>(factor), image.pixels.data(),
                 static_cast<int64_t>(image.pixels.size()));
  return image;
}

/// The same, from another image.
Image led_away(const Image& degenerate, Image image, double factor) {
  kernels::blend(degenerate.pixels.data(), static_cast<float>(factor), image.pixels.data(),
                 static_cast<int64_t>(image.pixels.size()));
  return image;
}

}  // namespace

Image autocontrast(Image image) { return looked_up_by_histogram(std::move(image), autocontrast_table); }

Image equalize(Image image) { return looked_up_by_histogram(std::move(image), equalize_table); }

Image invert(Image image) {
  return changed(std::move(image), [](uint8_t value) { return ~value; });
}

Image solarize(Image image, int64_t threshold) {
  if (threshold > 255) return image;
  const auto first = static_cast<uint8_t>(std::max<int64_t>(threshold, 0));
  return changed(std::move(image), [=](uint8_t value) { return value < first ? value : ~value; });
}

Image solarize_add(Image image, int64_t add) {
  const auto more = static_cast<uint8_t>(std::clamp<int64_t>(add, 0, 255));
  return changed(std::move(image), [=](uint8_t value) {
    const auto sum = static_cast<uint8_t>(value + more);
    return value >= 128 ? value : sum < more ? 255 : sum;
  });
}

Image posterize(Image image, int64_t bits) {
  UNIREPLK_CHECK(bits >= 0 && bits <= 8, "posterize: {} bits, expected 0 to 8", bits);
  const auto mask = static_cast<uint8_t>(~((1 << (8 - bits)) - 1));
  return changed(std::move(image), [=](uint8_t value) { return value & mask; });
}

Image adjust_color(Image image, double factor) {
  if (image.channels == 1) return image;
  Image grey = image.beside(image.width, image.height, 3);
  kernels::spread_luma(image.pixels.data(), image.width * image.height, grey.pixels.data());
  return led_away(grey, std::move(image), factor);
}

Image adjust_contrast(Image image, double factor) {
  const int64_t pixels = image.width * image.height;
  const int64_t sum = image.channels == 1 ? std::accumulate(image.pixels.begin(), image.pixels.end(), int64_t{0})
                                          : kernels::sum_luma(image.pixels.data(), pixels);
  const double mean = static_cast<double>(sum) / static_cast<double>(pixels);
  return led_away(static_cast<int64_t>(mean + 0.5), std::move(image), factor);
}

Image adjust_brightness(Image image, double factor) { return led_away(0, std::move(image), factor); }

Image adjust_sharpness(Image image, double factor) {
  Image smooth = image.beside(image.width, image.height, image.channels);
  kernels::smooth(shape_of(image), image.pixels.data(), smooth.pixels.data());
  return led_away(smooth, std::move(image), factor);
}

}  // namespace unireplk::data::image
