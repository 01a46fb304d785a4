#include "unireplk/data/image/reshapes.h"

#include <algorithm>
#include <utility>

#include "unireplk/data/image/affine.h"

namespace unireplk::data::image {
namespace {

Result<Image> resized(const Image& image, int64_t width, int64_t height, Interpolation interpolation) {
  if (resize_fits(image, width, height)) return resize(image, width, height, interpolation);
  return Problem{"", format("{} x {} is too long to be resized to {} x {}", image.width, image.height, width, height),
                 "Crop the image, or leave it out."};
}

class Resize : public Transform {
 public:
  explicit Resize(const ResizeConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream&) const override {
    const int64_t shorter = std::min(image.width, image.height);
    const int64_t width = config_.size * image.width / shorter;
    const int64_t height = config_.size * image.height / shorter;
    return resized(image, width, height, config_.interpolation);
  }

 private:
  ResizeConfig config_;
};

class Warp : public Transform {
 public:
  explicit Warp(const WarpConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream&) const override {
    return resized(image, config_.size, config_.size, config_.interpolation);
  }

 private:
  WarpConfig config_;
};

class Pad : public Transform {
 public:
  explicit Pad(const PadConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream&) const override {
    const int64_t p = config_.padding;
    if (image.width + 2 * p > kMaxPixels / (image.height + 2 * p)) {
      return Problem{"", format("{} x {} is too large to be padded by {}", image.width, image.height, p), ""};
    }
    return pad(image, p, p, p, p, static_cast<uint8_t>(config_.value));
  }

 private:
  PadConfig config_;
};

class HorizontalFlip : public Transform {
 public:
  explicit HorizontalFlip(const HorizontalFlipConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream& random) const override {
    return random.bernoulli(config_.p) ? mirror(image) : std::move(image);
  }

 private:
  HorizontalFlipConfig config_;
};

}  // namespace

std::unique_ptr<Transform> make_resize(const ResizeConfig& config) { return std::make_unique<Resize>(config); }

std::unique_ptr<Transform> make_warp(const WarpConfig& config) { return std::make_unique<Warp>(config); }

std::unique_ptr<Transform> make_pad(const PadConfig& config) { return std::make_unique<Pad>(config); }

std::unique_ptr<Transform> make_horizontal_flip(const HorizontalFlipConfig& config) {
  return std::make_unique<HorizontalFlip>(config);
}

}  // namespace unireplk::data::image
