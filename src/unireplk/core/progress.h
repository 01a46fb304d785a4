#pragma once

#include <cstdint>
#include <string>

#include "unireplk/core/clock.h"

namespace unireplk {

/// How far a long piece of work is, on stderr: a bar that redraws itself on a terminal, else a line every ten
/// seconds.
///
///   train 3/20  [=====>              ]  312/1250  25%  8.4/s  1:52 left  loss 1.234
///
/// For one thread.
class Progress {
 public:
  /// \param total  units of work; 0 or less when unknown.
  /// \param first  units done before, which say nothing of the speed.
  Progress(std::string label, int64_t total, int64_t first = 0);
  ~Progress();  ///< leaves the cursor at the start of a fresh line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` units are finished. Cheap enough to call at every step: it draws a few times a second at most, and the end.
  void update(int64_t done, const std::string& text = "");

  /// The line as it would be drawn after `seconds`, with a bar of `bar_width` characters (0: none).
  std::string line(int64_t done, const std::string& text, double seconds, int64_t bar_width) const;

 private:
  void draw(const std::string& text);

  std::string label_;
  int64_t total_;
  int64_t first_;
  int64_t done_ = 0;
  bool terminal_;
  bool line_is_open_ = false;
  Stopwatch since_start_;
  Stopwatch since_drawing_;
};

}  // namespace unireplk
