#pragma once

#include <span>

#include "unireplk/kernels/parallel.h"
#include "unireplk/kernels/running_norm.h"

/// The algebra between passes over maps: of tables [images, channels] and vectors [channels], dense, float32. Sums over
/// images and over channels are in float64. Bit for bit the same for any number of workers.
namespace unireplk::kernels {

struct TableShape {
  int64_t images = 0;
  int64_t channels = 0;
};

/// Added to the mean of norms by which global response normalisation divides.
inline constexpr double kGrnEps = 1e-6;

/// Global response normalisation: factor = gamma[channel] * norm / divisor + 1, with the image's
/// divisor = mean of its norms + kGrnEps.
/// \param norms  squares of the norms at first, then the norms.
void grn_factors(const TableShape& shape, const float* gamma, float* norms, float* factor, const Parallel& parallel);

/// What its backward pass needs and gives besides the map: dh = dy * factor + h * slope.
struct GrnGradients {
  float* factor = nullptr;  ///< [images, channels], as grn_factors() wrote them
  float* slope = nullptr;   ///< [images, channels], 0 where a norm is 0
  float* gamma = nullptr;   ///< [channels]
};

/// \param products   sums over pixels of dy * h
/// \param norms      as grn_factors() left them
/// \param workspace  a float for each image
void grn_gradients(const TableShape& shape, const float* gamma, const float* norms, const float* products,
                   const GrnGradients& to, std::span<float> workspace, const Parallel& parallel);

/// The tail of a block: a batch norm, and what its result is multiplied with, a layer scale and a mask of images.
struct TailNorm {
  const float* weight = nullptr;  ///< [channels], as all but the mask
  const float* bias = nullptr;
  const float* scale = nullptr;  ///< or null: 1
  const float* mask = nullptr;   ///< [images], or null: 1
};

/// Statistics of a batch.
struct TailMoments {
  const float* mean = nullptr;  ///< [channels]
  const float* variance = nullptr;
  double pixels = 0;  ///< over which they are taken, more than one
};

/// Running statistics without a mean are left alone.
struct MovingNorm {
  RunningNorm norm;
  double momentum = 0;
};

/// ((y - mean) * inverse * weight + bias) * scale * mask = (y - mean) * slope + shift
struct TailFactors {
  float* inverse = nullptr;  ///< [channels]: 1 / sqrt(variance + eps)
  float* slope = nullptr;    ///< [images, channels]
  float* shift = nullptr;    ///< [images, channels]
};

void tail_factors(const TableShape& shape, const TailNorm& norm, const TailMoments& moments, double eps,
                  const MovingNorm& moving, const TailFactors& to, const Parallel& parallel);

/// totals[0][channel] = sum over images of mask * sums, totals[1][channel] = inverse * sum over images of
/// mask * products.
/// \param sums, products  those over pixels of dy and of dy * (y - mean)
void tail_sums(const TableShape& shape, const float* sums, const float* products, const float* mask,
               const float* inverse, float* totals, const Parallel& parallel);

/// What backward needs and gives besides the map: d(y) = dy * factor + (y - mean) * slope + shift.
struct TailGradients {
  float* factor = nullptr;  ///< [images, channels]
  float* slope = nullptr;   ///< [images, channels]
  float* shift = nullptr;   ///< [images, channels]
  float* weight = nullptr;  ///< [channels], as those below
  float* bias = nullptr;
  float* scale = nullptr;  ///< or null: not wanted
};

/// \param totals  as tail_sums() leaves them, added up over all ranks
/// \param pixels  of all ranks
/// \param ranks   by which gradients of vectors are divided
void tail_gradients(const TableShape& shape, const TailNorm& norm, const float* inverse, const float* totals,
                    double pixels, double ranks, const TailGradients& to, const Parallel& parallel);

}  // namespace unireplk::kernels
