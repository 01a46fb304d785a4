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

/// A transform that looks at one part of an image only and can tell which from the size alone: where it comes first,
/// the rest need not be decoded.
class Cut : public Transform {
 public:
  /// The part; it lies inside. finish() goes on with the same stream.
  virtual Rectangle choose(int64_t width, int64_t height, RandomStream& random) const = 0;

  /// What becomes of the part.
  virtual Result<Image> finish(Image part, RandomStream& random) const = 0;

  Result<Image> apply(Image image, RandomStream& random) const final {
    const Rectangle part = choose(image.width, image.height, random);
    return finish(crop(image, part), random);
  }
};

using TransformSignature = std::unique_ptr<Transform>();

}  // namespace unireplk::data::image
