#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/core/result.h"

/// Pack files: many small pieces of bytes in one file, with a name and a label each, and a text that says what they
/// are.
///
///   "UNIREPLK PACK 1\n"     16 bytes
///   pieces                  one behind the other
///   table                   24 bytes each: offset (8), bytes, CRC-32, label, bytes of its name (4 each)
///   names                   one behind the other
///   description             JSON
///   end                     count (8), bytes of names (8) and of the description (8), CRC-32 of table, names and
///                           description (4), 0 (4), and the first 16 bytes again
///
/// Numbers are unsigned and little-endian.
namespace unireplk::formats {

struct PackEntry {
  int64_t offset = 0;
  int64_t bytes = 0;
  uint32_t crc = 0;
  uint32_t label = 0;
  std::string_view name;  ///< in the index
};

/// What stands behind the pieces. Moves only.
class PackIndex {
 public:
  /// Fills `out` from byte `offset` on; is asked for bytes within the file only. \throws UserError
  using ReadAt = std::function<void(int64_t offset, std::span<std::byte> out)>;

  /// Read it from bytes that nobody vouches for; the pieces are left alone. Each lies behind the one before.
  /// \param size   bytes of the file.
  /// \param place  the file, named in problems.
  static Result<PackIndex> read(const ReadAt& read, int64_t size, const std::string& place);

  PackIndex(PackIndex&&) = default;
  PackIndex& operator=(PackIndex&&) = default;

  const std::vector<PackEntry>& entries() const { return entries_; }
  std::string_view description() const { return description_; }

 private:
  PackIndex() = default;

  std::vector<char> tail_;  ///< holds the names and the description
  std::vector<PackEntry> entries_;
  std::string_view description_;
};

/// Writes a pack file; the same calls give the same bytes.
class PackWriter {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;

  /// \param sink  takes the bytes in their order.
  explicit PackWriter(Sink sink);

  /// \param piece  less than 4 GiB.
  void add(std::span<const std::byte> piece, uint32_t label, std::string_view name);

  /// What stands behind the pieces. Nothing can be added then.
  void finish(std::string_view description);

 private:
  Sink sink_;
  int64_t at_ = 0;
  uint64_t count_ = 0;
  std::string table_;
  std::string names_;
};

}  // namespace unireplk::formats
