#include "unireplk/data/image/crops.h"

#include <algorithm>
#include <cmath>

#include "unireplk/data/image/resize.h"

namespace unireplk::data::image {
namespace {

constexpr int kAttempts = 10;

int64_t round_half_even(double value) { return static_cast<int64_t>(std::nearbyint(value)); }

class RandomResizedCrop : public Cut {
 public:
  explicit RandomResizedCrop(const RandomResizedCropConfig& config) : config_(config) {}

  Rectangle choose(int64_t image_width, int64_t image_height, RandomStream& random) const override {
    const double pixels = static_cast<double>(image_width) * static_cast<double>(image_height);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const double area = random.uniform(config_.scale[0], config_.scale[1]) * pixels;
      const double ratio = std::exp(random.uniform(std::log(config_.ratio[0]), std::log(config_.ratio[1])));
      const int64_t width = round_half_even(std::sqrt(area * ratio));
      const int64_t height = round_half_even(std::sqrt(area / ratio));
      // An image of few pixels may round to nothing: that attempt has failed, too.
      if (width < 1 || height < 1 || width > image_width || height > image_height) continue;
      const int64_t top = random.integer(0, image_height - height);
      const int64_t left = random.integer(0, image_width - width);
      return {left, top, width, height};
    }
    return middle(image_width, image_height);
  }

  Result<Image> finish(Image part, RandomStream& random) const override {
    return resize(part, config_.size, config_.size, interpolation_of(config_.interpolation, random));
  }

 private:
  /// The largest centred rectangle whose shape is allowed.
  Rectangle middle(int64_t image_width, int64_t image_height) const {
    const double ratio = static_cast<double>(image_width) / static_cast<double>(image_height);
    int64_t width = image_width;
    int64_t height = image_height;
    if (ratio < config_.ratio[0]) height = round_half_even(static_cast<double>(width) / config_.ratio[0]);
    if (ratio > config_.ratio[1]) width = round_half_even(static_cast<double>(height) * config_.ratio[1]);
    width = std::clamp<int64_t>(width, 1, image_width);
    height = std::clamp<int64_t>(height, 1, image_height);
    return {(image_width - width) / 2, (image_height - height) / 2, width, height};
  }

  RandomResizedCropConfig config_;
};

class RandomCrop : public Transform {
 public:
  explicit RandomCrop(const RandomCropConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream& random) const override {
    const int64_t p = config_.padding;
    const int64_t size = config_.size;
    const int64_t width = image.width + 2 * p;
    const int64_t height = image.height + 2 * p;
    if (width < size || height < size || width > kMaxPixels / height) {
      return Problem{
          "",
          format("expected at least {} x {} pixels to cut from, got {} x {} with padding", size, size, width, height),
          "Resize first, or add padding."};
    }
    const int64_t top = random.integer(0, height - size);
    const int64_t left = random.integer(0, width - size);
    return crop(p > 0 ? pad(image, p, p, p, p) : image, left, top, size, size);
  }

 private:
  RandomCropConfig config_;
};

/// Where the middle of `size` begins in `length`, which is not smaller.
int64_t middle_of(int64_t length, int64_t size) { return round_half_even(static_cast<double>(length - size) / 2); }

class CenterCrop : public Transform {
 public:
  explicit CenterCrop(const CenterCropConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream&) const override {
    const int64_t size = config_.size;
    const int64_t columns = std::max<int64_t>(size - image.width, 0);
    const int64_t rows = std::max<int64_t>(size - image.height, 0);
    if (image.width + columns > kMaxPixels / (image.height + rows)) {
      return Problem{"", format("{} x {} is too long to be padded", image.width, image.height), ""};
    }
    if (columns > 0 || rows > 0) {
      image = pad(image, columns / 2, rows / 2, columns - columns / 2, rows - rows / 2);
    }
    return crop(image, middle_of(image.width, size), middle_of(image.height, size), size, size);
  }

 private:
  CenterCropConfig config_;
};

}  // namespace

void RandomResizedCropConfig::validate(config::Problems& problems) const {
  if (scale[0] > scale[1]) {
    problems.add("scale", format("expected smallest <= largest, got [{}, {}]", scale[0], scale[1]));
  }
  if (ratio[0] > ratio[1]) {
    problems.add("ratio", format("expected smallest <= largest, got [{}, {}]", ratio[0], ratio[1]));
  }
}

std::unique_ptr<Transform> make_random_resized_crop(const RandomResizedCropConfig& config) {
  return std::make_unique<RandomResizedCrop>(config);
}

std::unique_ptr<Transform> make_random_crop(const RandomCropConfig& config) {
  return std::make_unique<RandomCrop>(config);
}

std::unique_ptr<Transform> make_center_crop(const CenterCropConfig& config) {
  return std::make_unique<CenterCrop>(config);
}

}  // namespace unireplk::data::image
