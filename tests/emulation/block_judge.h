#pragma once

#include <cstdint>
#include <vector>

/// A block of branches in training by its definition, in float64.
namespace unireplk::emulation {

/// All channels last; parameters of the branches one branch behind the other.
struct BlockInputs {
  int images, height, width, channels;
  std::vector<double> x, dy;   // [images, height, width, channels]
  std::vector<float> weights;  // [channels, size, size] of each branch
  std::vector<float> gammas;   // [branches, channels]
  std::vector<float> betas;    // [branches, channels]
  std::vector<float> gamma;    // [channels], of the outer norm
  std::vector<float> beta;     // [channels], of the outer norm

  int pixels() const { return images * height * width; }
};

inline constexpr double kEps = 1e-5, kMomentum = 0.1;

struct BlockResults {
  std::vector<double> y, dx;    // [images, height, width, channels]
  std::vector<double> outer;    // [2, channels]: gradients of the outer norm's gamma and beta
  std::vector<double> gammas;   // [branches, channels], gradients
  std::vector<double> weights;  // gradients
  std::vector<double> running;  // [branches, then the outer norm][mean, variance][channels]; were 0 and 1 before
};

/// Where a branch's weights start among those of all.
int64_t start_of_weights(int branch, int channels);

/// \param keep  what is kept of each value of a branch; null: all of it.
BlockResults judge_block(const BlockInputs& in, double (*keep)(double) = nullptr);

}  // namespace unireplk::emulation
