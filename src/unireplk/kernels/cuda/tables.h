#pragma once

#include "unireplk/kernels/cuda/element.h"
#include "unireplk/kernels/tables.h"

/// The algebra of kernels/tables.h on a CUDA device. All pointers in its structs are the device's then.
namespace unireplk::kernels::cuda {

void grn_factors(const TableShape& shape, const float* gamma, float* norms, float* factor, Stream stream);

/// \param workspace  a float for each image
void grn_gradients(const TableShape& shape, const float* gamma, const float* norms, const float* products,
                   const GrnGradients& to, float* workspace, Stream stream);

void tail_factors(const TableShape& shape, const TailNorm& norm, const TailMoments& moments, double eps,
                  const MovingNorm& moving, const TailFactors& to, Stream stream);

void tail_sums(const TableShape& shape, const float* sums, const float* products, const float* mask,
               const float* inverse, float* totals, Stream stream);

void tail_gradients(const TableShape& shape, const TailNorm& norm, const float* inverse, const float* totals,
                    double pixels, double ranks, const TailGradients& to, Stream stream);

}  // namespace unireplk::kernels::cuda
