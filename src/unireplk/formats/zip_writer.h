#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace unireplk::formats {

/// Writes a zip archive of stored entries, with zip64 where sizes ask for it. The same calls give the same bytes: no
/// clock, no host. Names must differ.
class ZipWriter {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;

  /// \param sink  takes the bytes in their order.
  explicit ZipWriter(Sink sink) : sink_(std::move(sink)) {}

  /// Add an entry whose data begins at a multiple of `alignment` bytes.
  void add(const std::string& name, std::span<const std::byte> data, int64_t alignment = 1);

  /// The table at the end. Nothing can be added behind it.
  void finish();

 private:
  struct Entry {
    std::string name;
    uint64_t size = 0, offset = 0;
    uint32_t crc = 0;
  };

  void write(const std::string& text);
  std::string central_record(const Entry& entry) const;

  Sink sink_;
  uint64_t at_ = 0;
  std::vector<Entry> entries_;
  std::set<std::string> names_;
};

}  // namespace unireplk::formats
