#pragma once

#include <memory>

#include "unireplk/core/result.h"
#include "unireplk/core/rng.h"
#include "unireplk/data/image/image.h"

namespace unireplk::data::image {

/// One step from a decoded image to the network's input.
class Transform {
 public:
  virtual ~Transform() = default;

  /// A pure function of its arguments, thread-safe. The place of a problem is left to the caller.
  virtual Result<Image> apply(Image image, RandomStream& random) const = 0;
};

using TransformSignature = std::unique_ptr<Transform>();

}  // namespace unireplk::data::image
