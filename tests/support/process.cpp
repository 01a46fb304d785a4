#include "support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "support/files.h"

extern char** environ;

namespace unireplk::test {
namespace {}  // namespace

Process::Process(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const auto out = (folder_ / "out").string();
  const auto err = (folder_ / "err").string();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT, 0600);
  const int failed = posix_spawn(&child_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + arguments.front());
}

Process::~Process() {
  if (!status_) {
    send(SIGKILL);
    wait();
  }
}

void Process::send(int signal) const { kill(child_, signal); }

bool Process::has_ended() {
  int status = 0;
  if (!status_ && waitpid(child_, &status, WNOHANG) == child_) status_ = status;
  return status_.has_value();
}

bool Process::wait_until(const std::function<bool()>& condition) {
  while (!condition()) {
    if (has_ended()) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Finished Process::wait() {
  if (!status_) {
    int status = 0;
    waitpid(child_, &status, 0);
    status_ = status;
  }
  const int code = WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_);
  return {code, content(folder_ / "out"), content(folder_ / "err")};
}

Finished run(const std::vector<std::string>& arguments) { return Process(arguments).wait(); }

std::string unireplk_path() { return UNIREPLK_PROGRAM; }

Finished unireplk(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), unireplk_path());
  return run(arguments);
}

}  // namespace unireplk::test
