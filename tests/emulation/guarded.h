#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace unireplk::emulation {

/// Values as a GPU's memory might hold them: at a multiple of 256 bytes, 0xff to begin with (not a number in every
/// element type), and marked behind, so that what is written there shows.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t count)
      : bytes_(static_cast<size_t>(count) * sizeof(T)), memory_(bytes_ + kAlignment + kGuard, kMark) {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    start_ = (kAlignment - address % kAlignment) % kAlignment;
    poison();
  }

  /// The same numbers, as T holds them.
  template <class Number>
  explicit Guarded(const std::vector<Number>& values) : Guarded(static_cast<int64_t>(values.size())) {
    std::transform(values.begin(), values.end(), data(), [](Number value) { return T(static_cast<float>(value)); });
  }

  T* data() { return reinterpret_cast<T*>(memory_.data() + start_); }
  const T* data() const { return reinterpret_cast<const T*>(memory_.data() + start_); }
  size_t size() const { return bytes_ / sizeof(T); }

  void poison() { std::memset(memory_.data() + start_, 0xff, bytes_); }

  bool is_intact() const {
    const auto is_mark = [](unsigned char value) { return value == kMark; };
    const auto start = memory_.begin() + static_cast<ptrdiff_t>(start_);
    return std::all_of(memory_.begin(), start, is_mark) &&
           std::all_of(start + static_cast<ptrdiff_t>(bytes_), memory_.end(), is_mark);
  }

 private:
  static constexpr size_t kAlignment = 256, kGuard = size_t{1} << 14;
  static constexpr unsigned char kMark = 0xa5;

  size_t bytes_;
  std::vector<unsigned char> memory_;
  size_t start_ = 0;
};

}  // namespace unireplk::emulation
