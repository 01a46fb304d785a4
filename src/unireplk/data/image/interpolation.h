#pragma once

#include <string_view>
#include <utility>

#include "unireplk/config/fields.h"
#include "unireplk/core/rng.h"

namespace unireplk::data::image {

enum class Interpolation { kBicubic, kBilinear };

/// What a transform may be told: one of the two, or kRandom, which draws one of them each time.
enum class InterpolationChoice { kBicubic, kBilinear, kRandom };

/// Draws from `random` for kRandom only.
Interpolation interpolation_of(InterpolationChoice choice, RandomStream& random);

}  // namespace unireplk::data::image

template <>
struct unireplk::config::EnumNames<unireplk::data::image::Interpolation> {
  using E = unireplk::data::image::Interpolation;
  static constexpr std::pair<std::string_view, E> values[] = {{"bicubic", E::kBicubic}, {"bilinear", E::kBilinear}};
};

template <>
struct unireplk::config::EnumNames<unireplk::data::image::InterpolationChoice> {
  using E = unireplk::data::image::InterpolationChoice;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"bicubic", E::kBicubic}, {"bilinear", E::kBilinear}, {"random", E::kRandom}};
};
