#include "unireplk/formats/zip.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/checksum.h"
#include "unireplk/formats/inflate.h"

namespace unireplk::formats {
namespace {

using ZipBytes = std::span<const std::byte>;

// Sizes and first bytes of the records, APPNOTE sections 4.3.7 to 4.3.16.
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;
constexpr uint64_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                   kLocator = 0x07064b50;
constexpr uint64_t kMaxComment = 0xffff;
constexpr uint64_t kIn64 = 0xffffffff;  // the value stands in the zip64 field
constexpr uint64_t kEncrypted = 1, kSizesFollow = 8;
constexpr uint64_t kStored = 0, kDeflated = 8;

[[noreturn]] void refuse_zip(const std::string& place, std::string message) {
  throw UserError(
      {.place = place, .message = std::move(message), .cure = "The file is damaged; make or download it again."});
}

/// A piece of the file, checked against its end.
ZipBytes piece(ZipBytes file, uint64_t offset, uint64_t size, const std::string& place) {
  if (offset > file.size() || size > file.size() - offset) {
    refuse_zip(place, format("the zip archive is cut short: expected {} bytes at byte {}, the file has {}", size,
                             offset, file.size()));
  }
  return file.subspan(offset, size);
}

/// Little-endian number at a place that is known to exist.
uint64_t zip_number(ZipBytes record, size_t at, size_t width) { return little_endian(record.subspan(at, width)); }

struct ZipDirectory {
  uint64_t count = 0, bytes = 0, offset = 0;
};

std::optional<uint64_t> find_end(ZipBytes file) {
  if (file.size() < kEndBytes) return std::nullopt;
  const uint64_t last = file.size() - kEndBytes;
  const uint64_t first = last - std::min(last, kMaxComment);
  for (uint64_t at = last + 1; at-- > first;) {
    const auto record = file.subspan(at, kEndBytes);
    if (zip_number(record, 0, 4) == kEnd && at + kEndBytes + zip_number(record, 20, 2) == file.size()) return at;
  }
  return std::nullopt;
}

/// The end record of a large archive, when its locator stands before the ordinary one.
std::optional<uint64_t> find_end64(ZipBytes file, uint64_t end, const std::string& place) {
  if (end < kLocatorBytes) return std::nullopt;
  const auto locator = file.subspan(end - kLocatorBytes, kLocatorBytes);
  if (zip_number(locator, 0, 4) != kLocator) return std::nullopt;
  const uint64_t at = zip_number(locator, 8, 8);
  const auto record = piece(file, at, kEnd64Bytes, place);
  if (zip_number(record, 0, 4) != kEnd64) refuse_zip(place, "the zip64 end record is not where its locator says");
  return at;
}

ZipDirectory find_directory(ZipBytes file, const std::string& place) {
  const auto end = find_end(file);
  if (!end) refuse_zip(place, "expected a zip archive, found no end record: cut short?");
  ZipDirectory out;
  uint64_t behind = *end;
  if (const auto end64 = find_end64(file, *end, place)) {
    const auto record = file.subspan(*end64, kEnd64Bytes);
    out = {zip_number(record, 32, 8), zip_number(record, 40, 8), zip_number(record, 48, 8)};
    behind = *end64;
  } else {
    const auto record = file.subspan(*end, kEndBytes);
    if (zip_number(record, 4, 4) != 0) refuse_zip(place, "the zip archive is spread over several disks");
    out = {zip_number(record, 10, 2), zip_number(record, 12, 4), zip_number(record, 16, 4)};
  }
  if (out.offset > behind || out.bytes != behind - out.offset) {
    refuse_zip(place, format("the table of the zip archive should end at byte {}, it says {} bytes from byte {}",
                             behind, out.bytes, out.offset));
  }
  if (out.count > out.bytes / kCentralBytes) {
    refuse_zip(place, format("the zip archive says {} entries, its table has room for {}", out.count,
                             out.bytes / kCentralBytes));
  }
  return out;
}

/// One row of the table.
struct ZipRow {
  std::string name;
  uint64_t flags = 0, method = 0, packed = 0, size = 0, local = 0, bytes = 0;
  uint32_t crc = 0;
};

/// Take the values that did not fit into 32 bits from the zip64 field, which holds those alone, in this order.
void read_zip64(ZipRow& row, ZipBytes extra, const std::string& place) {
  while (extra.size() >= 4) {
    const uint64_t kind = zip_number(extra, 0, 2);
    const auto body = piece(extra.subspan(4), 0, zip_number(extra, 2, 2), place);
    extra = extra.subspan(4 + body.size());
    if (kind != 1) continue;
    size_t at = 0;
    for (uint64_t* value : {&row.size, &row.packed, &row.local}) {
      if (*value != kIn64) continue;
      *value = zip_number(piece(body, at, 8, place), 0, 8);
      at += 8;
    }
    return;
  }
}

ZipRow read_row(ZipBytes table, const std::string& place) {
  const auto fixed = piece(table, 0, kCentralBytes, place);
  if (zip_number(fixed, 0, 4) != kCentral) refuse_zip(place, "the table of the zip archive is damaged");
  const uint64_t name = zip_number(fixed, 28, 2), extra = zip_number(fixed, 30, 2), comment = zip_number(fixed, 32, 2);
  const auto all = piece(table, 0, kCentralBytes + name + extra + comment, place);
  const auto text = all.subspan(kCentralBytes, name);
  ZipRow row{.name = {reinterpret_cast<const char*>(text.data()), text.size()},
             .flags = zip_number(fixed, 8, 2),
             .method = zip_number(fixed, 10, 2),
             .packed = zip_number(fixed, 20, 4),
             .size = zip_number(fixed, 24, 4),
             .local = zip_number(fixed, 42, 4),
             .bytes = all.size(),
             .crc = static_cast<uint32_t>(zip_number(fixed, 16, 4))};
  read_zip64(row, all.subspan(kCentralBytes + name, extra), place);
  return row;
}

void check_row(const ZipRow& row, const std::string& place) {
  const auto refuse = [&](const std::string& what) { refuse_zip(place, format("entry \"{}\" {}", row.name, what)); };
  if (row.flags & kEncrypted) refuse("is encrypted");
  if (row.method != kStored && row.method != kDeflated) {
    refuse(format("is packed by method {}, expected 0 (stored) or 8 (deflated)", row.method));
  }
  if (row.method == kStored && row.packed != row.size) {
    refuse(format("is stored as it is, yet says {} bytes packed and {} unpacked", row.packed, row.size));
  }
  if (row.method == kDeflated && row.size / kMaxInflation > row.packed) {
    refuse(format("says that {} bytes unpack to {}, which no deflate stream does", row.packed, row.size));
  }
}

/// The entry's bytes by its own header, which has to agree with the table. `end` moves behind them.
ZipBytes packed_bytes(ZipBytes file, const ZipRow& row, uint64_t& end, const std::string& place) {
  const auto refuse = [&](const std::string& what) { refuse_zip(place, format("entry \"{}\" {}", row.name, what)); };
  if (row.local < end) refuse("overlaps the one before");
  const auto header = piece(file, row.local, kLocalBytes, place);
  const auto name = piece(file, row.local + kLocalBytes, zip_number(header, 26, 2), place);
  const uint64_t data = row.local + kLocalBytes + name.size() + zip_number(header, 28, 2);
  if (zip_number(header, 0, 4) != kLocal || zip_number(header, 8, 2) != row.method ||
      std::string_view(reinterpret_cast<const char*>(name.data()), name.size()) != row.name) {
    refuse("is another one in the table than at its place");
  }
  for (const auto& [at, value] : {std::pair(size_t{18}, row.packed), std::pair(size_t{22}, row.size)}) {
    const uint64_t said = zip_number(header, at, 4);
    if (said != value && said != kIn64 && !(zip_number(header, 6, 2) & kSizesFollow)) {
      refuse(format("says {} bytes at its place, {} in the table", said, value));
    }
  }
  const auto bytes = piece(file, data, row.packed, place);
  end = data + row.packed;
  return bytes;
}

std::map<std::string, ZipEntry> read_entries(ZipBytes file, const std::string& place) {
  const ZipDirectory directory = find_directory(file, place);
  auto table = file.subspan(directory.offset, directory.bytes);
  std::vector<ZipRow> rows;
  for (uint64_t i = 0; i < directory.count; ++i) {
    rows.push_back(read_row(table, place));
    check_row(rows.back(), place);
    table = table.subspan(rows.back().bytes);
  }
  if (!table.empty())
    refuse_zip(place, format("{} bytes after the last entry of the zip archive's table", table.size()));

  std::ranges::sort(rows, {}, [](const ZipRow& row) { return std::tuple(row.local, row.packed); });
  const auto data = file.first(directory.offset);
  uint64_t budget = file.size() * kZipGrowth + kZipAllowance;
  uint64_t end = 0;
  std::map<std::string, ZipEntry> out;
  for (const ZipRow& row : rows) {
    const auto packed = packed_bytes(data, row, end, place);
    if (row.size > budget) {
      refuse_zip(place, format("the zip archive unpacks to more than {} times its size", kZipGrowth));
    }
    budget -= row.size;
    const ZipEntry entry{row.method == kDeflated, packed, static_cast<int64_t>(row.size), row.crc};
    if (!out.emplace(row.name, entry).second) refuse_zip(place, format("entry \"{}\" comes twice", row.name));
  }
  return out;
}

}  // namespace

bool is_zip(std::span<const std::byte> file) { return file.size() >= 4 && zip_number(file, 0, 4) == kLocal; }

Result<ZipArchive> ZipArchive::open(std::span<const std::byte> file, std::string place) {
  return as_result([&] {
    auto entries = read_entries(file, place);
    return ZipArchive(std::move(place), std::move(entries));
  });
}

const ZipEntry* ZipArchive::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

Result<ZipContent> ZipArchive::read(const std::string& name) const {
  const ZipEntry* entry = find(name);
  UNIREPLK_CHECK(entry != nullptr, "zip: no entry \"{}\"", name);
  const auto place = format("{}: entry \"{}\"", place_, name);
  ZipContent content(entry->packed);
  if (entry->deflated) {
    std::vector<std::byte> unpacked(static_cast<size_t>(entry->size));
    if (auto bad = inflate_exactly(entry->packed, unpacked, place)) return *std::move(bad);
    content = ZipContent(std::move(unpacked));
  }
  if (entry->crc != 0 && crc32_of(content.bytes()) != entry->crc) {
    return Problem{place, "its checksum does not match its bytes", "The file is damaged; make or download it again."};
  }
  return content;
}

}  // namespace unireplk::formats
