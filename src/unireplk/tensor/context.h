#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "unireplk/tensor/collective.h"

namespace unireplk {

/// What every part of a run needs to know, passed explicitly.
struct Context {
  at::Device device = at::kCPU;
  int64_t threads = 1;  ///< intra-op threads of this process
  uint64_t seed = 0;
  Rank rank;
  std::shared_ptr<Collective> collective = {};  ///< joins the ranks; none for one process
};

/// The device a config names: "auto" (CUDA when there is one), "cpu", "cuda", "cuda:N".
/// \throws UserError when the text is none of these or the device does not exist here.
at::Device resolve_device(const std::string& text);

/// True for "auto", "cpu", "cuda" and "cuda:N", whether or not such a device exists here.
bool names_device(const std::string& text);

/// Name and memory of a device for people: "cpu (2 threads, AVX512)", "cuda:0 (NVIDIA H200, 139.7 GiB)".
std::string describe_device(at::Device device);

}  // namespace unireplk
