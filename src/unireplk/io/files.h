#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unireplk::io {

/// The bytes of a file in memory, read as they are touched. Moves only. A file that somebody cuts short meanwhile ends
/// the program (SIGBUS): the file has to stay as it is.
class FileMapping {
 public:
  FileMapping(const std::byte* data, size_t size) : bytes_(data, size) {}
  ~FileMapping();
  FileMapping(FileMapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  FileMapping& operator=(FileMapping&&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

/// An open file for reading at any place. Every member throws UserError naming path, reason and cure.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int64_t size() const { return size_; }
  int64_t modified_ns() const { return modified_ns_; }  ///< when its content last changed, since 1970

  /// Fill `out` from byte `offset` on; a file that ends sooner is an error.
  void read(int64_t offset, std::span<std::byte> out) const;

  /// All of it; outlives this object.
  FileMapping map() const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  int64_t modified_ns_ = 0;
};

/// A file under a temporary name in the folder of `path`, until commit() puts it in place: a reader, or the
/// next start after a crash, sees the old content or the new, never a part. Every member throws UserError
/// naming path, reason (full disk, read-only folder, ...) and cure; whatever was not committed is removed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// fsync, rename, fsync of the folder.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// The whole content of a file. \throws UserError when it cannot be read or is larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 34);

/// The lines of a text file, without their ends (LF or CRLF) and without empty lines at the end.
/// \throws UserError when it cannot be read, is larger than 1 GiB, or is not UTF-8.
std::vector<std::string> read_lines(const std::filesystem::path& path);

/// Write a file through AtomicFile.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Rename a finished folder into place and make that durable. `to` must not exist.
void publish_folder(const std::filesystem::path& from, const std::filesystem::path& to);

/// Make a folder, and those above it, where they do not exist. \throws UserError.
void make_folders(const std::filesystem::path& path);

/// A new, empty folder that is gone at the end of its scope unless it has been renamed: a disk that is full must not be
/// filled by what could not be finished.
class ScratchFolder {
 public:
  /// \param path  what is there is removed; the folder above it has to exist. \throws UserError.
  explicit ScratchFolder(std::filesystem::path path);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Throw the UserError of a system call that failed: "PATH: cannot ACTION: REASON. CURE".
/// \param error  errno of the call.
[[noreturn]] void throw_system_error(const std::filesystem::path& path, const std::string& action, int error);

}  // namespace unireplk::io
