#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/temporary_folder.h"

namespace unireplk::test {

/// A disk of a few bytes, in memory, mounted on an empty folder. This process and those it starts see it, others do
/// not.
class SmallDisk {
 public:
  /// \param bytes  that fit; counted in whole pages.
  SmallDisk(std::filesystem::path folder, int64_t bytes) : folder_(std::move(folder)) {
    if (const auto reason = refusal()) throw std::runtime_error(*reason);
    change(bytes, 0);
  }
  ~SmallDisk() { umount2(folder_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  void resize(int64_t bytes) { change(bytes, MS_REMOUNT); }
  void make_read_only() { mount_with("", MS_REMOUNT | MS_RDONLY); }

  /// Why this process may mount nothing; nothing when it may. Moves the process to mounts of its own.
  static std::optional<std::string> refusal() {
    static const std::optional<std::string> reason = leave_common_mounts();
    return reason;
  }

 private:
  void change(int64_t bytes, unsigned long flags) { mount_with("size=" + std::to_string(bytes), flags); }

  void mount_with(const std::string& options, unsigned long flags) {
    if (mount("tmpfs", folder_.c_str(), "tmpfs", flags, options.c_str()) != 0) {
      throw std::system_error(errno, std::generic_category(), "cannot mount " + folder_.string());
    }
  }

  static std::optional<std::string> leave_common_mounts() {
    const uid_t user = geteuid();
    const gid_t group = getegid();
    if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return reason_of("unshare");
    if (user != 0) {
      std::ofstream("/proc/self/setgroups") << "deny";
      std::ofstream("/proc/self/uid_map") << user << ' ' << user << " 1";
      std::ofstream("/proc/self/gid_map") << group << ' ' << group << " 1";
    }
    // A root that is no mount, as in chroot, cannot be made private; then it has to be already.
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 && any_is_shared()) return reason_of("mount");
    const TemporaryFolder probe;
    if (mount("tmpfs", probe.path().c_str(), "tmpfs", 0, "size=4096") != 0) return reason_of("mount");
    umount2(probe.path().c_str(), MNT_DETACH);
    return std::nullopt;
  }

  static std::string reason_of(const char* call) {
    return std::string(call) + ": " + std::generic_category().message(errno);
  }

  static bool any_is_shared() {
    std::ifstream file("/proc/self/mountinfo");
    const std::string mounts{std::istreambuf_iterator<char>(file), {}};
    return mounts.find(" shared:") != std::string::npos;
  }

  std::filesystem::path folder_;
};

}  // namespace unireplk::test
