#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <stdexcept>

namespace unireplk::test {

/// A copy of this process that runs `work` alone; killed when the object goes.
class Child {
 public:
  explicit Child(const std::function<void()>& work) : id_(fork()) {
    if (id_ < 0) throw std::runtime_error("cannot fork");
    if (id_ > 0) return;
    int status = 1;
    try {
      work();
      status = 0;
    } catch (...) {  // the status tells
    }
    _exit(status);
  }
  ~Child() { kill(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// 0 when `work` returned, 1 when it threw, 128 + signal when a signal ended it.
  int wait() {
    collect(/*options=*/0);
    return result_;
  }

  bool has_ended() {
    collect(WNOHANG);
    return id_ == 0;
  }

  int kill() {
    if (id_ > 0) ::kill(id_, SIGKILL);
    return wait();
  }

 private:
  void collect(int options) {
    int status = 0;
    if (id_ == 0 || waitpid(id_, &status, options) != id_) return;
    result_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    id_ = 0;
  }

  pid_t id_;  ///< 0 when it has ended
  int result_ = -1;
};

}  // namespace unireplk::test
