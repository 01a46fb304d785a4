#include "unireplk/core/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "unireplk/core/format.h"

namespace unireplk {
namespace {

constexpr double kTerminalInterval = 0.1;  // seconds between two drawings
constexpr double kPlainInterval = 10.0;
constexpr int64_t kBarWidth = 12;

std::string bar(double fraction, int64_t width) {
  const auto full = static_cast<int64_t>(fraction * static_cast<double>(width));
  std::string out(static_cast<size_t>(full), '=');
  if (full < width) out += '>';
  out.resize(static_cast<size_t>(width), ' ');
  return "  [" + out + ']';
}

size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void write_stderr(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress(std::string label, int64_t total, int64_t first)
    : label_(std::move(label)), total_(total), first_(first), done_(first), terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (line_is_open_) write_stderr("\n");
}

void Progress::update(int64_t done, const std::string& text) {
  const bool is_end = total_ > 0 && done >= total_ && done_ < total_;
  done_ = done;
  if (!is_end && since_drawing_.seconds() < (terminal_ ? kTerminalInterval : kPlainInterval)) return;
  draw(text);
}

std::string Progress::line(int64_t done, const std::string& text, double seconds, int64_t bar_width) const {
  const double rate = seconds > 0 ? static_cast<double>(done - first_) / seconds : 0;
  std::string out = label_;
  if (total_ > 0) {
    const double fraction = std::clamp(static_cast<double>(done) / static_cast<double>(total_), 0.0, 1.0);
    if (bar_width > 0) out += bar(fraction, bar_width);
    out += format("  {}/{}  {:.0f}%", done, total_, 100 * fraction);
  } else {
    out += format("  {}", done);
  }
  if (rate > 0) {
    out += rate < 1 ? format("  {:.1f} s each", 1 / rate) : format("  {:.1f}/s", rate);
    if (total_ > done) out += format("  {} left", duration_text(static_cast<double>(total_ - done) / rate));
  }
  if (total_ > 0 && done >= total_) out += "  in " + duration_text(seconds);
  return text.empty() ? out : out + "  " + text;
}

void Progress::draw(const std::string& text) {
  since_drawing_.restart();
  std::string drawn = line(done_, text, since_start_.seconds(), terminal_ ? kBarWidth : 0);
  if (terminal_) {
    drawn.resize(std::min(drawn.size(), terminal_columns() - 1));  // a wrapped line cannot be redrawn
    write_stderr("\r\033[K" + drawn);
    line_is_open_ = true;
  } else {
    write_stderr(drawn + "\n");
  }
}

}  // namespace unireplk
