#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace unireplk::test {

/// What a finished process left.
struct Finished {
  int exit_code = -1;  ///< 128 + signal when a signal ended it
  std::string out;
  std::string err;
};

/// A running child process with its output in files; killed when the object goes.
class Process {
 public:
  /// \param arguments  the program's path first.
  explicit Process(const std::vector<std::string>& arguments);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void send(int signal) const;

  /// Wait until `condition` holds. False when the process ends first.
  bool wait_until(const std::function<bool()>& condition);

  Finished wait();

 private:
  bool has_ended();

  TemporaryFolder folder_;
  int child_ = -1;
  std::optional<int> status_;
};

/// Run a program to its end.
Finished run(const std::vector<std::string>& arguments);

/// Run the `unireplk` program of this build.
Finished unireplk(std::vector<std::string> arguments);

/// Path of that program.
std::string unireplk_path();

}  // namespace unireplk::test
