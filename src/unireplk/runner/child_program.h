#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/runner/program.h"

namespace unireplk::runner {

/// A file that takes what child processes print, behind what it holds.
class LogFile {
 public:
  explicit LogFile(std::filesystem::path path);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return file_; }
  size_t size() const { return std::filesystem::file_size(path_); }

 private:
  std::filesystem::path path_;
  int file_;
};

/// The arguments of a command on a target: `--plugin FILE... COMMAND PATH OVERRIDE...`.
std::vector<std::string> command_arguments(const std::vector<std::filesystem::path>& plugins,
                                           const std::string& command, const Target& target);

/// This program, started anew as a process of its own.
class ChildProgram {
 public:
  /// \param arguments  what stands behind the program's name.
  /// \param out, err   descriptors that become its stdout and stderr.
  ChildProgram(const std::vector<std::string>& arguments, int out, int err);
  ~ChildProgram();  ///< kills it when it still runs
  ChildProgram(const ChildProgram&) = delete;
  ChildProgram& operator=(const ChildProgram&) = delete;

  void send(int signal) const;

  /// Wait for its end, `seconds` at most. Its exit code, 128 + N when signal N has ended it; nothing while it runs.
  std::optional<int> wait_for(double seconds);

  /// Wait for its end, however long it takes.
  int wait();

 private:
  pid_t process_ = -1;
  std::optional<int> exit_code_;
};

}  // namespace unireplk::runner
