#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "unireplk/core/result.h"

/// zip archives (APPNOTE 6.3), read from bytes that nobody vouches for. With zip64; without encryption, several disks
/// and methods other than stored and deflated.
namespace unireplk::formats {

/// An archive may unpack to kZipGrowth times its own bytes and kZipAllowance more. Weights hardly shrink at all; a bomb
/// grows a thousandfold.
constexpr int64_t kZipGrowth = 64;
constexpr int64_t kZipAllowance = int64_t{64} << 20;

struct ZipEntry {
  bool deflated = false;
  std::span<const std::byte> packed;  ///< bytes of the archive
  int64_t size = 0;                   ///< bytes when unpacked
  uint32_t crc = 0;                   ///< 0: the writer left it out (PyTorch can be told to)
};

/// What an entry holds: a part of the archive itself, or bytes of its own when it was deflated. Moves only.
class ZipContent {
 public:
  explicit ZipContent(std::span<const std::byte> bytes) : bytes_(bytes) {}
  explicit ZipContent(std::vector<std::byte> owned) : owned_(std::move(owned)), bytes_(owned_) {}
  ZipContent(ZipContent&&) = default;
  ZipContent& operator=(ZipContent&&) = default;

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> owned_;
  std::span<const std::byte> bytes_;
};

/// The table of an archive. Entries lie in the file one behind the other, none within another, each under a name of its
/// own, and unpack to a bounded size; anything else is refused.
class ZipArchive {
 public:
  /// \param file   the whole archive; must outlive this object and its contents.
  /// \param place  the file, named in problems.
  static Result<ZipArchive> open(std::span<const std::byte> file, std::string place);

  const std::map<std::string, ZipEntry>& entries() const { return entries_; }
  const ZipEntry* find(const std::string& name) const;  ///< null when absent

  /// Unpack one entry and hold it to its size and checksum. \param name  one that entries() has.
  Result<ZipContent> read(const std::string& name) const;

 private:
  ZipArchive(std::string place, std::map<std::string, ZipEntry> entries)
      : place_(std::move(place)), entries_(std::move(entries)) {}

  std::string place_;
  std::map<std::string, ZipEntry> entries_;
};

/// True when the bytes begin as a zip archive does.
bool is_zip(std::span<const std::byte> file);

}  // namespace unireplk::formats
