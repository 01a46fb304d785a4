#pragma once

#include <array>
#include <cstdint>
#include <memory_resource>
#include <vector>

/// Loops over 8-bit images, rows x columns x channels, dense. Every result is the same bits for every instruction set.
/// What a loop needs beside its images comes from the `memory` that it is given.
namespace unireplk::kernels {

struct PixelShape {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 3;  ///< 1 or 3

  int64_t row_bytes() const { return width * channels; }
};

/// Fraction of a weight of Resampling: 255 times the sum of a place's absolute weights has to stay below 2^31.
inline constexpr int kResamplingBits = 22;

/// What the places of one axis are made of: place i is the sum of `taps` neighbours from first[i] on, each times its
/// weight, rounded and clipped to a byte. Every neighbour lies inside the image.
struct Resampling {
  int64_t taps = 0;
  std::pmr::vector<int32_t> first;    ///< [places]
  std::pmr::vector<int32_t> weights;  ///< [places][taps], fixed point

  int64_t places() const { return static_cast<int64_t>(first.size()); }
};

/// Each row from `in.width` to columns.places() pixels. `to` has in.height rows.
void resample_width(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to,
                    std::pmr::memory_resource& memory);

/// Each column from `in.height` to rows.places() pixels.
void resample_height(const PixelShape& in, const uint8_t* from, const Resampling& rows, uint8_t* to,
                     std::pmr::memory_resource& memory);

/// How a place between pixels is seen: by Pillow's cubic over 4 x 4 of them, or linearly over 2 x 2.
enum class Seen { kCubic, kLinear };

/// The image moved: the middle (x, y) of a pixel of the result shows the place (ax + by + c, dx + ey + f) of the image,
/// with map = (a, b, c, d, e, f) and in double; the outermost pixels stand for their neighbours beyond, and a place
/// outside of the image shows `fill`. Source: spec/image.md section 3.3.
void affine(const PixelShape& shape, const uint8_t* from, const std::array<double, 6>& map, Seen seen,
            const std::array<uint8_t, 3>& fill, uint8_t* to, std::pmr::memory_resource& memory);

/// Left and right exchanged. `to` is another image.
void mirror(const PixelShape& shape, const uint8_t* from, uint8_t* to);

/// to = from + factor (to - from) in float, clipped and truncated.
void blend(const uint8_t* from, float factor, uint8_t* to, int64_t bytes);

/// The same with one byte for all.
void blend(uint8_t from, float factor, uint8_t* to, int64_t bytes);

/// 3 x 3 with weights 1 and, in the middle, 5, over 13; the outermost pixels stay as they are.
void smooth(const PixelShape& shape, const uint8_t* from, uint8_t* to);

/// Brightness of RGB pixels, in every channel. Source: spec/image.md section 3.4.
void spread_luma(const uint8_t* rgb, int64_t pixels, uint8_t* to);

/// Sum of the brightness of RGB pixels.
int64_t sum_luma(const uint8_t* rgb, int64_t pixels);

/// (byte / 255 - mean) / deviation in float, for each channel its own; pixels interleaved on both sides.
/// \param channels  1 or 3 means and deviations.
void normalise(const uint8_t* from, int64_t pixels, int64_t channels, const float* mean, const float* deviation,
               float* to);

}  // namespace unireplk::kernels
