#pragma once

#include <csignal>
#include <string>
#include <utility>
#include <vector>

namespace unireplk {

/// While it lives, SIGINT, SIGTERM and SIGUSR1 ask the program to stop at the next good moment instead of
/// ending it. A second SIGINT ends the program at once, for people who will not wait.
///
/// Only one may live at a time. \throws ContractError otherwise.
class StopFlag {
 public:
  StopFlag();
  ~StopFlag();
  StopFlag(const StopFlag&) = delete;
  StopFlag& operator=(const StopFlag&) = delete;

  bool requested() const;

  /// "SIGINT", "SIGTERM" or "SIGUSR1", the last that came; empty when none did.
  std::string signal_name() const;

 private:
  std::vector<std::pair<int, struct sigaction>> previous_;
};

}  // namespace unireplk
