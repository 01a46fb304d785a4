#pragma once

#include <cstdint>

#include "unireplk/kernels/cuda/element.h"

/// The gradient of a block's input on tensor cores. Per channel, with g = dy, the branches' kernels w_b embedded in the
/// large one's 13 x 13 taps, W = sum_b slope_b w_b, s the outer slope (block_coefficients.h) and sums over pixels p of
/// the image, dx is linear in g and in x:
///
///   dx(q) = sum_j s W[j] g(q - j) + sum_q' B(q, q') x(q') + k(q)
///   B(q, q') = - sum_p (s kappa W[q - p] W[q' - p] + sum_b pull_b w_b[q - p] w_b[q' - p])
///   k(q) = - sum_p (s W[q - p] (mean of g - kappa sum_b slope_b mean_b) - sum_b pull_b mean_b w_b[q - p])
///
/// The first term is one convolution. The second is a small matrix for each pair of rows, times a row of all images
/// (pair_products.cuh); there are 97 of them (line_pairs.h), and their entries are sums over 97 kinds of pairs of
/// columns (pair_matrices.cuh). No branch is computed. Source: kernel specification, section 3: z_b put into dz_b, and
/// that into dx.
namespace unireplk::kernels::cuda {

struct Map;

/// Whether maps of this type and size have it: 16 bits, 12 to 31 rows and columns or at most 9 of both, a multiple of 8
/// channels; where a thread block may have so many bytes of shared memory.
bool has_data_gradient(Element element, const Map& map, int64_t shared_bytes);

/// Bytes of workspace, which starts at a multiple of 256 bytes.
int64_t data_gradient_workspace(const Map& map);

/// \param planes, dy_planes  of x and of dy (row_planes.h): [channels][images][height][pitch], 16-byte aligned. Columns
///                           behind the map's may hold any finite values.
/// \param packed             [kAllTaps][channels], the branches' weights (branches.cuh).
/// \param coefficients       [kCoefficients][channels]
/// \param dx                 [images, height, width, channels], 16-byte aligned.
/// Numerics: B is summed in float32, multiplied by a power of two for each channel, which sums are divided by, and
/// rounded once to the element type, as s W is. Sums of products and k are float32. What is linear in x and the sum of
/// both are each rounded to the element type.
void block_data_gradient(Element element, const Map& map, const void* planes, const void* dy_planes,
                         const float* packed, const float* coefficients, void* dx, void* workspace, Stream stream);

}  // namespace unireplk::kernels::cuda
