#include "unireplk/tasks/mixing.h"

#include <ATen/ops/flip.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/tasks/draws.h"

namespace unireplk::tasks {
namespace {

/// How one sample is mixed: with all of its partner, or with a box of it (empty: not at all).
struct Mix {
  double kept = 1;
  bool cuts = false;
  int64_t top = 0, bottom = 0, left = 0, right = 0;  ///< of the box, ends excluded
};

/// A box of the size that leaves `kept` of a map, about a place drawn in it, so that the border may cut it off.
Mix box_about(double kept, int64_t height, int64_t width, RandomStream& random) {
  const double side = std::sqrt(1 - kept);
  const auto rows = static_cast<int64_t>(static_cast<double>(height) * side);
  const auto columns = static_cast<int64_t>(static_cast<double>(width) * side);
  const int64_t y = random.integer(0, height - 1), x = random.integer(0, width - 1);
  return {.cuts = true,
          .top = std::clamp<int64_t>(y - rows / 2, 0, height),
          .bottom = std::clamp<int64_t>(y + rows / 2, 0, height),
          .left = std::clamp<int64_t>(x - columns / 2, 0, width),
          .right = std::clamp<int64_t>(x + columns / 2, 0, width)};
}

/// A box of a uniform size that lies inside.
Mix box_within(const std::array<double, 2>& minmax, int64_t height, int64_t width, RandomStream& random) {
  const auto cut = [&](int64_t length) {
    const auto low = static_cast<int64_t>(static_cast<double>(length) * minmax[0]);
    const auto high = static_cast<int64_t>(static_cast<double>(length) * minmax[1]);
    return random.integer(low, std::max(low, high - 1));
  };
  const int64_t rows = cut(height), columns = cut(width);
  const int64_t top = random.integer(0, std::max<int64_t>(height - rows - 1, 0));
  const int64_t left = random.integer(0, std::max<int64_t>(width - columns - 1, 0));
  return {.cuts = true, .top = top, .bottom = top + rows, .left = left, .right = left + columns};
}

Mix draw_mix(const MixingConfig& config, int64_t height, int64_t width, RandomStream& random) {
  if (!random.bernoulli(config.mixup_prob)) return {};
  const bool has_both = config.mixup > 0 && config.uses_cutmix();
  const bool cuts = has_both ? random.bernoulli(config.mixup_switch_prob) : config.uses_cutmix();
  if (!cuts) return {.kept = random.beta(config.mixup)};
  Mix mix = config.cutmix_minmax ? box_within(*config.cutmix_minmax, height, width, random)
                                 : box_about(random.beta(config.cutmix), height, width, random);
  const auto area = static_cast<double>((mix.bottom - mix.top) * (mix.right - mix.left));
  mix.kept = 1 - area / static_cast<double>(height * width);
  return mix;
}

/// One for each sample.
std::vector<Mix> draw_mixes(const MixingConfig& config, const at::Tensor& maps, const at::Generator& generator) {
  const int64_t batch = maps.size(0);
  const int64_t draws = config.mixup_mode == MixMode::kElem ? batch : batch / 2;
  const auto draw = [&](int64_t sample) {
    RandomStream random = stream_of(generator, DrawnFor::kMixing, sample);
    return draw_mix(config, maps.size(2), maps.size(3), random);
  };
  if (config.mixup_mode == MixMode::kBatch) return std::vector<Mix>(static_cast<size_t>(batch), draw(0));
  std::vector<Mix> mixes(static_cast<size_t>(batch));
  for (int64_t i = 0; i < draws; ++i) {
    mixes[static_cast<size_t>(i)] = draw(i);
    if (config.mixup_mode == MixMode::kPair) mixes[static_cast<size_t>(batch - 1 - i)] = mixes[static_cast<size_t>(i)];
  }
  return mixes;
}

at::Tensor box_of(const at::Tensor& maps, const Mix& mix) {
  return maps.slice(-2, mix.top, mix.bottom).slice(-1, mix.left, mix.right);
}

void mix_all_alike(at::Tensor& maps, const Mix& mix) {
  if (mix.kept == 1) return;
  at::Tensor part = mix.cuts ? box_of(maps, mix) : maps;
  const at::Tensor partners = at::flip(part, 0);
  if (mix.cuts) {
    part.copy_(partners);
  } else {
    part.mul_(mix.kept).add_(partners, 1 - mix.kept);
  }
}

void mix_each(at::Tensor& maps, const std::vector<Mix>& mixes) {
  const at::Tensor partners = at::flip(maps, 0);
  for (size_t i = 0; i < mixes.size(); ++i) {
    const Mix& mix = mixes[i];
    if (mix.kept == 1) continue;
    at::Tensor map = maps.select(0, static_cast<int64_t>(i));
    const at::Tensor partner = partners.select(0, static_cast<int64_t>(i));
    if (mix.cuts) {
      box_of(map, mix).copy_(box_of(partner, mix));
    } else {
      map.mul_(mix.kept).add_(partner, 1 - mix.kept);
    }
  }
}

}  // namespace

void MixingConfig::validate(config::Problems& problems) const {
  if (cutmix_minmax && (*cutmix_minmax)[0] >= (*cutmix_minmax)[1]) {
    problems.add("cutmix_minmax",
                 format("expected smallest < largest, got [{}, {}]", (*cutmix_minmax)[0], (*cutmix_minmax)[1]));
  }
}

at::Tensor mix(at::Tensor& maps, const MixingConfig& config, const at::Generator& generator) {
  UNIREPLK_CHECK(maps.size(0) % 2 == 0, "mix: expected an even number of samples, got {}", maps.size(0));
  const std::vector<Mix> mixes = draw_mixes(config, maps, generator);
  if (config.mixup_mode == MixMode::kBatch) {
    mix_all_alike(maps, mixes.front());
  } else {
    mix_each(maps, mixes);
  }
  std::vector<float> kept;
  for (const Mix& mix : mixes) kept.push_back(static_cast<float>(mix.kept));
  return at::tensor(kept, at::kFloat).to(maps.device(), /*non_blocking=*/true);
}

at::Tensor mixed_targets(const at::Tensor& labels, int64_t classes, double label_smoothing, const at::Tensor& kept) {
  const double off = label_smoothing / static_cast<double>(classes);
  const at::Tensor own = at::full({labels.size(0), classes}, off, kept.options());
  own.scatter_(1, labels.unsqueeze(1), 1 - label_smoothing + off);
  return shared_targets(own, kept);
}

at::Tensor shared_targets(const at::Tensor& own, const at::Tensor& kept) {
  const at::Tensor share = kept.unsqueeze(1);
  return own.mul(share).add(at::flip(own, 0).mul(share.neg().add(1)));
}

}  // namespace unireplk::tasks
