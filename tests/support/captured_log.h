#pragma once

#include <unistd.h>

#include <cstdio>
#include <string>

namespace unireplk::test {

/// Keeps what is written to stderr while it lives, the log first of all.
class CapturedLog {
 public:
  CapturedLog() : file_(std::tmpfile()), terminal_(dup(STDERR_FILENO)) {
    std::fflush(stderr);
    dup2(fileno(file_), STDERR_FILENO);
  }
  ~CapturedLog() {
    std::fflush(stderr);
    dup2(terminal_, STDERR_FILENO);
    close(terminal_);
    std::fclose(file_);
  }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  /// Everything so far.
  std::string text() const {
    std::fflush(stderr);
    std::string content;
    char chunk[4096];
    for (off_t place = 0;;) {
      const ssize_t count = pread(fileno(file_), chunk, sizeof chunk, place);
      if (count <= 0) return content;
      content.append(chunk, static_cast<size_t>(count));
      place += count;
    }
  }

 private:
  std::FILE* file_;
  int terminal_;
};

}  // namespace unireplk::test
