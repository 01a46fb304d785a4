#include "unireplk/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "unireplk/core/error.h"
#include "unireplk/io/files.h"
#include "unireplk/train/checkpoint_store.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLockFile = ".lock";

}  // namespace

RunFolder::RunFolder(fs::path path, bool resume) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw UserError({path_.string(), "cannot be made: " + error.message(), "Check `output` and its rights."});
  lock();
  if (!resume && has_content()) {
    close(lock_);
    if (CheckpointStore::steps_in(checkpoints()).empty()) {
      throw UserError({path_.string(), "the folder of this run exists and holds no checkpoint",
                       "Start it from the beginning with --resume, or give the run another `name`."});
    }
    throw UserError(
        {path_.string(), "the folder of this run exists", "Go on with --resume, or give the run another `name`."});
  }
}

RunFolder::~RunFolder() { close(lock_); }

void RunFolder::lock() {
  const fs::path file = path_ / kLockFile;
  lock_ = open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0) io::throw_system_error(file, "open the file", errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  close(lock_);
  if (error != EWOULDBLOCK) io::throw_system_error(file, "lock the file", error);
  throw UserError(
      {path_.string(), "another process is using this run", "Wait for it, or give the run another `name`."});
}

bool RunFolder::has_content() const {
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (entry.path().filename() != kLockFile) return true;
  }
  return false;
}

std::optional<std::string> RunFolder::config() const {
  const fs::path file = path_ / "config.yaml";
  if (!fs::exists(file)) return std::nullopt;
  return io::read_file(file);
}

void RunFolder::write_config(std::string_view yaml) const { io::write_file_atomically(path_ / "config.yaml", yaml); }

}  // namespace unireplk::train
