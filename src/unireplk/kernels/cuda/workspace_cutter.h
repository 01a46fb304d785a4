#pragma once

#include <cstddef>
#include <cstdint>

namespace unireplk::kernels::cuda {

/// Hands out memory from the start of a workspace, or counts it where that is a null pointer.
class WorkspaceCutter {
 public:
  explicit WorkspaceCutter(void* workspace) : start_(static_cast<std::byte*>(workspace)) {}

  template <class Value>
  Value* cut(int64_t count) {
    return static_cast<Value*>(bytes(count * static_cast<int64_t>(sizeof(Value))));
  }

  void* bytes(int64_t count) {
    constexpr int64_t kAlignment = 256;
    std::byte* const here = start_ ? start_ + used_ : nullptr;
    used_ += (count + kAlignment - 1) / kAlignment * kAlignment;
    return here;
  }

  int64_t used() const { return used_; }

 private:
  std::byte* start_;
  int64_t used_ = 0;
};

}  // namespace unireplk::kernels::cuda
