#pragma once

#include <chrono>
#include <string>

namespace unireplk {

/// Measures time on a clock that never jumps.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  void restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// A span of time for people: "0:07", "12:05", "3:04:05"; "?" when negative or not finite.
std::string duration_text(double seconds);

}  // namespace unireplk
