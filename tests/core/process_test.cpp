#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <regex>
#include <string>

#include "support/catch.h"
#include "unireplk/core/clock.h"
#include "unireplk/core/cpu_features.h"
#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/core/progress.h"
#include "unireplk/core/signal.h"

using namespace unireplk;

namespace {

struct ChildResult {
  int status = 0;
  std::string text;  ///< what it wrote to stderr
};

/// Run `body` in a child process whose stderr is a pipe.
ChildResult run_in_child(const std::function<void()>& body) {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    body();
    _exit(0);
  }
  close(ends[1]);
  ChildResult result;
  std::array<char, 256> buffer{};
  for (ssize_t count = 0; (count = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    result.text.append(buffer.data(), static_cast<size_t>(count));
  }
  close(ends[0]);
  waitpid(child, &result.status, 0);
  return result;
}

}  // namespace

TEST_CASE("StopFlag: remembers a signal and gives the old handlers back") {
  struct sigaction before {};
  sigaction(SIGTERM, nullptr, &before);
  for (const auto& [number, name] : {std::pair{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}}) {
    const StopFlag flag;
    CHECK_FALSE(flag.requested());
    CHECK(flag.signal_name().empty());
    raise(number);
    CHECK(flag.requested());
    CHECK(flag.signal_name() == name);
  }
  struct sigaction after {};
  sigaction(SIGTERM, nullptr, &after);
  CHECK(after.sa_handler == before.sa_handler);
}

TEST_CASE("StopFlag: refuses a second one") {
  const StopFlag first;
  CHECK_THROWS_AS(StopFlag(), ContractError);
}

TEST_CASE("StopFlag: a second SIGINT ends the program at once") {
  const ChildResult result = run_in_child([] {
    const StopFlag flag;
    raise(SIGTERM);
    raise(SIGINT);
    std::fputs("alive", stderr);
    raise(SIGINT);
    std::fputs("still alive", stderr);
  });
  CHECK(result.text == "alive");
  REQUIRE(WIFEXITED(result.status));
  CHECK(WEXITSTATUS(result.status) == 130);
}

TEST_CASE("log: goes to stderr, without colours off a terminal, at or above its level") {
  const ChildResult result = run_in_child([] {
    log_info("{} of {}", 3, 4);
    set_log_level(LogLevel::kError);
    log_warning("hidden");
    log_error("{{shown}}");
  });
  CHECK(std::regex_match(result.text, std::regex(R"(\d\d:\d\d:\d\d info 3 of 4\n\d\d:\d\d:\d\d error \{shown\}\n)")));
}

TEST_CASE("Progress: shows share, rate and time left") {
  const Progress progress("train", 200);
  CHECK(progress.line(50, "loss 1.5", 10.0, 8) == "train  [==>     ]  50/200  25%  5.0/s  0:30 left  loss 1.5");
  CHECK(progress.line(200, "", 40.0, 0) == "train  200/200  100%  5.0/s  in 0:40");
  CHECK(progress.line(10, "", 100.0, 0) == "train  10/200  5%  10.0 s each  31:40 left");
  CHECK(progress.line(0, "", 0.0, 4) == "train  [>   ]  0/200  0%");
  CHECK(progress.line(500, "", 1.0, 4) == "train  [====]  500/200  100%  500.0/s  in 0:01");
  CHECK(Progress("read", 0).line(5, "", 1.0, 8) == "read  5  5.0/s");
  CHECK(Progress("train", 100, 50).line(75, "", 5.0, 0) == "train  75/100  75%  5.0/s  0:05 left");  // resumed at 50
}

TEST_CASE("Progress: off a terminal it writes whole lines, and few of them") {
  const ChildResult result = run_in_child([] {
    Progress progress("eval", 1000);
    for (int64_t i = 1; i <= 1000; ++i) progress.update(i, format("item {}", i));
  });
  CHECK(std::regex_match(result.text, std::regex("eval  1000/1000  100%  .*  item 1000\n")));
}

TEST_CASE("duration_text: grows with the time") {
  CHECK(duration_text(0) == "0:00");
  CHECK(duration_text(59.6) == "1:00");
  CHECK(duration_text(3599) == "59:59");
  CHECK(duration_text(11045) == "3:04:05");
  CHECK(duration_text(-1) == "?");
  CHECK(duration_text(std::numeric_limits<double>::infinity()) == "?");
}

TEST_CASE("best_instruction_set: is never empty") { CHECK_FALSE(best_instruction_set().empty()); }
