#include "unireplk/runner/child_program.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "unireplk/core/clock.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"

extern char** environ;

namespace unireplk::runner {
namespace {

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

LogFile::LogFile(std::filesystem::path path)
    : path_(std::move(path)), file_(open(path_.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644)) {
  if (file_ < 0) io::throw_system_error(path_, "open the file", errno);
}

LogFile::~LogFile() { close(file_); }

std::vector<std::string> command_arguments(const std::vector<std::filesystem::path>& plugins,
                                           const std::string& command, const Target& target) {
  std::vector<std::string> arguments;
  for (const auto& plugin : plugins) arguments.insert(arguments.end(), {"--plugin", plugin.string()});
  arguments.insert(arguments.end(), {command, target.path});
  arguments.insert(arguments.end(), target.overrides.begin(), target.overrides.end());
  return arguments;
}

ChildProgram::ChildProgram(const std::vector<std::string>& arguments, int out, int err) {
  std::string name = "unireplk";
  std::vector<char*> argv{name.data()};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  const int failed = posix_spawn(&process_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  UNIREPLK_CHECK(failed == 0, "cannot start a process: {}", std::strerror(failed));
}

ChildProgram::~ChildProgram() {
  if (exit_code_) return;
  send(SIGKILL);
  wait();
}

void ChildProgram::send(int signal) const { kill(process_, signal); }

std::optional<int> ChildProgram::wait_for(double seconds) {
  constexpr std::chrono::milliseconds kPause{1};
  const Stopwatch clock;
  while (!exit_code_) {
    int status = 0;
    if (waitpid(process_, &status, WNOHANG) == process_) exit_code_ = exit_code_of(status);
    if (exit_code_ || clock.seconds() >= seconds) break;
    std::this_thread::sleep_for(kPause);
  }
  return exit_code_;
}

int ChildProgram::wait() {
  while (!exit_code_) {
    int status = 0;
    const pid_t ended = waitpid(process_, &status, 0);
    UNIREPLK_CHECK(ended == process_ || errno == EINTR, "cannot wait for a process: {}", std::strerror(errno));
    if (ended == process_) exit_code_ = exit_code_of(status);
  }
  return *exit_code_;
}

}  // namespace unireplk::runner
