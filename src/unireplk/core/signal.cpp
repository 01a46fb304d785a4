#include "unireplk/core/signal.h"

#include <unistd.h>

#include <atomic>

#include "unireplk/core/error.h"

namespace unireplk {
namespace {

// A signal handler can reach nothing but static storage.
std::atomic<int> received_signal = 0;
std::atomic<bool> interrupted = false;
std::atomic<bool> installed = false;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

extern "C" void on_stop_signal(int number) {
  received_signal = number;
  if (number == SIGINT && interrupted.exchange(true)) _exit(128 + SIGINT);
}

}  // namespace

StopFlag::StopFlag() {
  UNIREPLK_CHECK(!installed.exchange(true), "StopFlag: another one is alive");
  received_signal = 0;
  interrupted = false;
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
    struct sigaction action {};
    action.sa_handler = on_stop_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    struct sigaction before {};
    sigaction(number, &action, &before);
    previous_.emplace_back(number, before);
  }
}

StopFlag::~StopFlag() {
  for (const auto& [number, action] : previous_) sigaction(number, &action, nullptr);
  installed = false;
}

bool StopFlag::requested() const { return received_signal != 0; }

std::string StopFlag::signal_name() const {
  switch (received_signal) {
    case SIGINT:
      return "SIGINT";
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR1:
      return "SIGUSR1";
    default:
      return "";
  }
}

}  // namespace unireplk
