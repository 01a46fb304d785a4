#include "unireplk/data/image/interpolation.h"

namespace unireplk::data::image {

Interpolation interpolation_of(InterpolationChoice choice, RandomStream& random) {
  switch (choice) {
    case InterpolationChoice::kBicubic:
      return Interpolation::kBicubic;
    case InterpolationChoice::kBilinear:
      return Interpolation::kBilinear;
    case InterpolationChoice::kRandom:
      break;
  }
  return random.bernoulli(0.5) ? Interpolation::kBilinear : Interpolation::kBicubic;
}

}  // namespace unireplk::data::image
