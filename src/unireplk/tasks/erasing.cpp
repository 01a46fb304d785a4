#include "unireplk/tasks/erasing.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/tasks/draws.h"

namespace unireplk::tasks {
namespace {

constexpr int kErasingAttempts = 10;

struct Rectangle {
  int64_t top, left, height, width;
};

double rounded_root(double value) { return std::nearbyint(std::sqrt(value)); }

/// A rectangle that leaves something of each row and column; nothing when ten attempts give none.
std::optional<Rectangle> draw_rectangle(const ErasingConfig& config, double pixels, int64_t height, int64_t width,
                                        RandomStream& random) {
  for (int attempt = 0; attempt < kErasingAttempts; ++attempt) {
    const double area = random.uniform(config.area[0], config.area[1]) * pixels;
    const double aspect = std::exp(random.uniform(std::log(config.aspect[0]), std::log(config.aspect[1])));
    const double tall = rounded_root(area * aspect), wide = rounded_root(area / aspect);
    if (tall >= static_cast<double>(height) || wide >= static_cast<double>(width)) continue;
    const auto rows = static_cast<int64_t>(tall), columns = static_cast<int64_t>(wide);
    const int64_t top = random.integer(0, height - rows);
    return Rectangle{top, random.integer(0, width - columns), rows, columns};
  }
  return {};
}

void fill(at::Tensor part, ErasingMode mode, const at::Generator& generator) {
  switch (mode) {
    case ErasingMode::kPixel:  // drawn densely: LibTorch has vector code for that alone
      part.copy_(at::empty(part.sizes(), part.options()).normal_(0, 1, generator));
      return;
    case ErasingMode::kRand:
      part.copy_(at::empty({part.size(0), 1, 1}, part.options()).normal_(0, 1, generator));
      return;
    case ErasingMode::kConst:
      part.zero_();
      return;
  }
}

}  // namespace

void ErasingConfig::validate(config::Problems& problems) const {
  if (area[0] > area[1]) problems.add("area", format("expected smallest <= largest, got [{}, {}]", area[0], area[1]));
  if (aspect[0] > aspect[1]) {
    problems.add("aspect", format("expected smallest <= largest, got [{}, {}]", aspect[0], aspect[1]));
  }
}

void erase(at::Tensor& maps, const ErasingConfig& config, at::Generator generator) {
  const int64_t height = maps.size(2), width = maps.size(3);
  for (int64_t sample = 0; sample < maps.size(0); ++sample) {
    RandomStream random = stream_of(generator, DrawnFor::kErasing, sample);
    if (!random.bernoulli(config.probability)) continue;
    const int64_t count = config.count == 1 ? 1 : random.integer(1, config.count);
    const double pixels = static_cast<double>(height * width) / static_cast<double>(count);
    for (int64_t i = 0; i < count; ++i) {
      const auto box = draw_rectangle(config, pixels, height, width, random);
      if (!box) continue;
      fill(maps.select(0, sample).narrow(1, box->top, box->height).narrow(2, box->left, box->width), config.mode,
           generator);
    }
  }
}

}  // namespace unireplk::tasks
