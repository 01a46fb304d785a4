#include "unireplk/formats/zip_writer.h"

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/checksum.h"

namespace unireplk::formats {
namespace {

constexpr uint64_t kMax32 = 0xffffffff, kMax16 = 0xffff;
constexpr uint64_t kDate = 0x0021;      // 1 January 1980, the first day of zip's calendar
constexpr uint64_t kUtf8Names = 0x800;  // flag
constexpr uint64_t kVersion = 20, kVersion64 = 45;
constexpr uint64_t kZip64Field = 1;
constexpr uint64_t kPaddingField = 0x4246;  // "FB", as PyTorch pads its own
constexpr char kPadding = 'Z';

/// A record of little-endian numbers.
class ZipRecord {
 public:
  ZipRecord& put(uint64_t value, size_t width) {
    append_little_endian(text_, value, width);
    return *this;
  }
  ZipRecord& text(const std::string& text) {
    text_ += text;
    return *this;
  }
  const std::string& str() const { return text_; }

 private:
  std::string text_;
};

bool is_large(uint64_t value) { return value >= kMax32; }

/// Values that have no room in 32 bits, in the field made for them; empty when all have.
std::string zip64_field(std::initializer_list<uint64_t> values) {
  ZipRecord body;
  for (const uint64_t value : values) {
    if (is_large(value)) body.put(value, 8);
  }
  if (body.str().empty()) return {};
  return ZipRecord().put(kZip64Field, 2).put(body.str().size(), 2).text(body.str()).str();
}

/// A field of at least its own four bytes that brings `end` up to a multiple of `alignment`.
std::string padding_field(uint64_t end, uint64_t alignment) {
  if (end % alignment == 0) return {};
  const uint64_t room = alignment - (end + 4) % alignment;
  return ZipRecord().put(kPaddingField, 2).put(room % alignment, 2).text(std::string(room % alignment, kPadding)).str();
}

}  // namespace

void ZipWriter::write(const std::string& text) {
  sink_(std::as_bytes(std::span(text)));
  at_ += text.size();
}

void ZipWriter::add(const std::string& name, std::span<const std::byte> data, int64_t alignment) {
  UNIREPLK_CHECK(name.size() < kMax16 && alignment > 0 && alignment <= 4096, "zip: entry \"{}\"", name);
  UNIREPLK_CHECK(names_.insert(name).second, "zip: entry \"{}\" twice", name);
  const Entry entry{name, data.size(), at_, crc32_of(data)};
  const uint64_t size = is_large(entry.size) ? kMax32 : entry.size;
  std::string extra = zip64_field({entry.size, entry.size});
  constexpr uint64_t kLocalBytes = 30;
  extra += padding_field(at_ + kLocalBytes + name.size() + extra.size(), static_cast<uint64_t>(alignment));
  write(ZipRecord()
            .put(0x04034b50, 4)
            .put(is_large(entry.size) ? kVersion64 : kVersion, 2)
            .put(kUtf8Names, 2)
            .put(0, 2)  // stored
            .put(0, 2)  // midnight
            .put(kDate, 2)
            .put(entry.crc, 4)
            .put(size, 4)
            .put(size, 4)
            .put(name.size(), 2)
            .put(extra.size(), 2)
            .text(name)
            .text(extra)
            .str());
  sink_(data);
  at_ += data.size();
  entries_.push_back(entry);
}

std::string ZipWriter::central_record(const Entry& entry) const {
  const auto extra = zip64_field({entry.size, entry.size, entry.offset});
  const uint64_t size = is_large(entry.size) ? kMax32 : entry.size;
  const uint64_t version = extra.empty() ? kVersion : kVersion64;
  return ZipRecord()
      .put(0x02014b50, 4)
      .put(version, 2)
      .put(version, 2)
      .put(kUtf8Names, 2)
      .put(0, 2)
      .put(0, 2)
      .put(kDate, 2)
      .put(entry.crc, 4)
      .put(size, 4)
      .put(size, 4)
      .put(entry.name.size(), 2)
      .put(extra.size(), 2)
      .put(0, 2)  // comment
      .put(0, 2)  // disk
      .put(0, 2)
      .put(0, 4)  // attributes
      .put(is_large(entry.offset) ? kMax32 : entry.offset, 4)
      .text(entry.name)
      .text(extra)
      .str();
}

void ZipWriter::finish() {
  const uint64_t start = at_, count = entries_.size();
  for (const Entry& entry : entries_) write(central_record(entry));
  const uint64_t bytes = at_ - start;
  if (is_large(start) || is_large(bytes) || count >= kMax16) {
    const uint64_t end64 = at_;
    write(ZipRecord()
              .put(0x06064b50, 4)
              .put(44, 8)  // bytes of this record that follow
              .put(kVersion64, 2)
              .put(kVersion64, 2)
              .put(0, 4)
              .put(0, 4)
              .put(count, 8)
              .put(count, 8)
              .put(bytes, 8)
              .put(start, 8)
              .str());
    write(ZipRecord().put(0x07064b50, 4).put(0, 4).put(end64, 8).put(1, 4).str());
  }
  write(ZipRecord()
            .put(0x06054b50, 4)
            .put(0, 2)
            .put(0, 2)
            .put(std::min(count, kMax16), 2)
            .put(std::min(count, kMax16), 2)
            .put(std::min(bytes, kMax32), 4)
            .put(std::min(start, kMax32), 4)
            .put(0, 2)
            .str());
}

}  // namespace unireplk::formats
