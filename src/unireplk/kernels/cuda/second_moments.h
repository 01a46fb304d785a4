#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"

/// What the branches of a block and their products with x come to, from the second moments of x alone: no branch is
/// computed. For maps that have row planes (row_planes.h).
///
/// Source: all of it is linear in R[j, k] = sum over pixels p of x[p + j] x[p + k], j and k taps of the large kernel:
/// with Z_b[k] = sum_p z_b[p] x[p + k] = sum_j w_b[j] R[j, k], covariances of branches are sums of w_d[k] Z_b[k], and
/// gradients of weights (kernel specification, section 3) need nothing else of z_b. How R is cut at borders:
/// row_pairs.h.
namespace unireplk::kernels::cuda {

struct Map;

/// Whether maps of this type and size have them, and a data gradient (data_gradient.h), on the current device.
bool has_second_moments(Element element, const Map& map);

/// Rows of second_moments(): products of x with each branch, and with 1, for each tap of the large kernel.
int64_t product_rows();

int64_t second_moments_bytes(const Map& map);  ///< of workspace

/// \param planes   write_row_planes()
/// \param packed   [all taps][channels]
/// \param moments  [1 + kMomentRows][channels], written: the number of pixels, means of the branches and sums of their
///                 centred products
/// \param products [product_rows()][channels], written: Z_b[k] for b, then for k; then X[k] = sum_p x[p + k]
/// Numerics: products of 16-bit values exact; sums over images and columns in float32 for up to 128 images, in float64
/// over these, and over rows in float32; products with weights in float32, covariances in float64.
void second_moments(Element element, const Map& map, const void* planes, const float* packed, float* moments,
                    float* products, void* workspace, Stream stream);

}  // namespace unireplk::kernels::cuda
