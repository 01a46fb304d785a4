#include "unireplk/io/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/utf8.h"

namespace unireplk::io {
namespace {

constexpr size_t kMaxTransfer = size_t{1} << 30;  // Linux moves at most 2 GiB a call

std::string cure_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "Free space on that disk or choose another folder.";
    case EACCES:
    case EPERM:
    case EROFS:
      return "Choose a place that you may use, or change its permissions.";
    case ENOENT:
    case ENOTDIR:
      return "Check the path.";
    case EEXIST:
      return "Remove it or choose another name.";
    default:
      return "";
  }
}

/// A file descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

/// 0, or the error that stopped it.
int write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return 0;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Make the names in a folder durable.
void sync_folder(const std::filesystem::path& folder) {
  const Descriptor descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) throw_system_error(folder, "open the folder", errno);
  // Some network file systems cannot sync a folder and say EINVAL; there is nothing better to do there.
  if (fsync(descriptor.get()) != 0 && errno != EINVAL) throw_system_error(folder, "sync the folder", errno);
}

int rename_to_new_name(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  std::error_code ignored;  // a file system without that flag: ask first
  if (std::filesystem::exists(std::filesystem::symlink_status(to, ignored))) return EEXIST;
  return rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  const Descriptor opened(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe would keep us waiting
  if (opened.get() < 0) throw_system_error(path, "open the file", errno);
  struct stat status {};
  if (fstat(opened.get(), &status) != 0) throw_system_error(path, "look at the file", errno);
  if (S_ISDIR(status.st_mode)) throw_system_error(path, "read the file", EISDIR);
  if (!S_ISREG(status.st_mode)) {
    throw UserError({.place = path.string(),
                     .message = "expected a regular file, got a pipe or device",
                     .cure = "Write what it gives into a file first."});
  }
  descriptor_ = dup(opened.get());
  if (descriptor_ < 0) throw_system_error(path, "open the file", errno);
  size_ = status.st_size;
  modified_ns_ = status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t count = pread(descriptor_, out.data(), std::min(out.size(), kMaxTransfer), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error(path_, "read the file", errno);
    if (count == 0) {
      throw UserError({.place = path_.string(),
                       .message = format("the file ends at byte {}, expected {} more", offset, out.size()),
                       .cure = "It was cut short; make or copy it again."});
    }
    offset += count;
    out = out.subspan(static_cast<size_t>(count));
  }
}

FileMapping InputFile::map() const {
  if (size_ == 0) return {nullptr, 0};
  void* data = mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, descriptor_, 0);
  if (data == MAP_FAILED) throw_system_error(path_, "read the file", errno);
  return {static_cast<const std::byte*>(data), static_cast<size_t>(size_)};
}

FileMapping::~FileMapping() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  const std::string name = path_.filename().string();
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = folder_of(path_) / format(".{}.{}.{}.tmp", name, getpid(), attempt);
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) throw_system_error(path_, "write the file", errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  UNIREPLK_CHECK(descriptor_ >= 0, "AtomicFile: {} is committed already", path_.string());
  if (const int error = write_all(descriptor_, bytes)) throw_system_error(path_, "write the file", error);
}

void AtomicFile::commit() {
  UNIREPLK_CHECK(descriptor_ >= 0, "AtomicFile: {} is committed already", path_.string());
  if (fsync(descriptor_) != 0) throw_system_error(path_, "write the file", errno);
  // Network file systems report a full disk as late as this.
  if (close(std::exchange(descriptor_, -1)) != 0) throw_system_error(path_, "write the file", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) throw_system_error(path_, "put the file in place", errno);
  temporary_.clear();
  sync_folder(folder_of(path_));
}

std::string read_file(const std::filesystem::path& path, int64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw UserError({.place = path.string(),
                     .message = format("expected at most {} bytes, got {}", max_bytes, file.size()),
                     .cure = "Is this the right file?"});
  }
  std::string content(static_cast<size_t>(file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(content)));
  return content;
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::string text = read_file(path, int64_t{1} << 30);
  if (!is_utf8(text)) throw UserError({path.string(), "expected text in UTF-8", "Save the file as UTF-8."});
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(std::move(line));
    begin = end + 1;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void publish_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  sync_folder(from);
  if (const int error = rename_to_new_name(from, to)) throw_system_error(to, "put the folder in place", error);
  sync_folder(folder_of(to));
}

void make_folders(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw_system_error(path, "make the folder", error.value());
}

ScratchFolder::ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {
  std::filesystem::remove_all(path_);
  std::error_code error;
  std::filesystem::create_directory(path_, error);
  if (error) throw_system_error(path_, "make the folder", error.value());
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void throw_system_error(const std::filesystem::path& path, const std::string& action, int error) {
  throw UserError({.place = path.string(),
                   .message = format("cannot {}: {}", action, std::generic_category().message(error)),
                   .cure = cure_for(error)});
}

}  // namespace unireplk::io
