#include "unireplk/data/image/color_jitter.h"

#include <array>
#include <utility>

#include "unireplk/data/image/color.h"

namespace unireplk::data::image {
namespace {

class ColorJitter : public Transform {
 public:
  explicit ColorJitter(const ColorJitterConfig& config)
      : steps_{{{adjust_brightness, config.brightness},
                {adjust_contrast, config.contrast},
                {adjust_color, config.saturation}}} {}

  Result<Image> apply(Image image, RandomStream& random) const override {
    auto steps = steps_;
    for (size_t last = steps.size() - 1; last > 0; --last) {
      std::swap(steps[last], steps[static_cast<size_t>(random.integer(0, static_cast<int64_t>(last)))]);
    }
    for (const auto& [adjust, most] : steps) {
      const double factor = random.uniform(1 - most, 1 + most);
      if (most > 0) image = adjust(std::move(image), factor);
    }
    return image;
  }

 private:
  struct Step {
    Image (*adjust)(Image image, double factor);
    double most;
  };

  std::array<Step, 3> steps_;
};

}  // namespace

std::unique_ptr<Transform> make_color_jitter(const ColorJitterConfig& config) {
  return std::make_unique<ColorJitter>(config);
}

}  // namespace unireplk::data::image
