#pragma once

#include <ATen/ATen.h>

#include "ops/random_block.h"
#include "support/catch.h"

/// What tests on a GPU have in common.
namespace unireplk::ops {

/// No GPU, or no kernels for it: says so, and the test is over.
inline bool is_skipped() {
  if (!at::hasCUDA()) {
    WARN("SKIPPED: no CUDA device");
    return true;
  }
  return false;
}

/// Convolutions in float32 as written and without a search for algorithms, while it lives. Memory is not-a-number until
/// it is written.
class Strict {
 public:
  Strict() : tf32_(at::globalContext().allowTF32CuDNN()) {
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  }
  ~Strict() {
    at::globalContext().setAllowTF32CuDNN(tf32_);
    at::globalContext().setDeterministicAlgorithms(false, false);
  }
  Strict(const Strict&) = delete;
  Strict& operator=(const Strict&) = delete;

 private:
  bool tf32_;
};

inline at::Tensor gpu_map(at::IntArrayRef shape, unsigned seed, at::ScalarType dtype = at::kFloat) {
  return random_map(shape, seed).to(at::kCUDA, dtype);
}

}  // namespace unireplk::ops
