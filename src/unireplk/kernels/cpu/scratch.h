#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>

namespace unireplk::kernels {

/// Memory for as long as this lives, from a vector's boundary on, with any content.
class Scratch {
 public:
  Scratch(int64_t bytes, std::pmr::memory_resource& memory)
      : memory_(memory), bytes_(static_cast<size_t>(bytes)), begin_(memory.allocate(bytes_, kAlignment)) {}
  ~Scratch() { memory_.deallocate(begin_, bytes_, kAlignment); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* begin() const { return begin_; }

 private:
  static constexpr size_t kAlignment = 64;
  std::pmr::memory_resource& memory_;
  size_t bytes_;
  void* begin_;
};

}  // namespace unireplk::kernels
