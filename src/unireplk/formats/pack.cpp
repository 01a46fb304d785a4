#include "unireplk/formats/pack.h"

#include <array>
#include <utility>

#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/checksum.h"

namespace unireplk::formats {
namespace {

constexpr std::string_view kPackMark = "UNIREPLK PACK 1\n";
constexpr int64_t kPackMarkBytes = 16, kPackRowBytes = 24, kPackEndBytes = 48;

uint64_t number_at(std::span<const char> bytes, size_t at, size_t width) {
  return little_endian(std::as_bytes(bytes.subspan(at, width)));
}

std::span<const std::byte> bytes_in(std::string_view text) { return std::as_bytes(std::span(text)); }

[[noreturn]] void refuse_pack(const std::string& place, std::string message) {
  throw UserError(
      {.place = place, .message = std::move(message), .cure = "It is no pack file, or damaged; make it again."});
}

/// The bytes at the end of the file: how long each part in front of them is.
struct PackEnd {
  int64_t count, names, description;
  uint32_t crc;
};

PackEnd read_end(const PackIndex::ReadAt& read, int64_t size, const std::string& place) {
  if (size < kPackMarkBytes + kPackEndBytes) refuse_pack(place, format("expected a pack file, got {} bytes", size));
  std::array<char, kPackMarkBytes> first;
  std::array<char, kPackEndBytes> end;
  read(0, std::as_writable_bytes(std::span(first)));
  read(size - kPackEndBytes, std::as_writable_bytes(std::span(end)));
  if (std::string_view(first.data(), first.size()) != kPackMark) refuse_pack(place, "does not begin as a pack file");
  if (std::string_view(end.data() + 32, 16) != kPackMark) refuse_pack(place, "does not end as a pack file: cut short?");
  const auto room = static_cast<uint64_t>(size - kPackMarkBytes - kPackEndBytes);
  const uint64_t count = number_at(end, 0, 8), names = number_at(end, 8, 8), description = number_at(end, 16, 8);
  if (count > room / kPackRowBytes || names > room - count * kPackRowBytes ||
      description > room - count * kPackRowBytes - names) {
    refuse_pack(place, "its table is larger than the file");
  }
  return {static_cast<int64_t>(count), static_cast<int64_t>(names), static_cast<int64_t>(description),
          static_cast<uint32_t>(number_at(end, 24, 4))};
}

}  // namespace

Result<PackIndex> PackIndex::read(const ReadAt& read, int64_t size, const std::string& place) {
  return as_result([&] {
    const PackEnd end = read_end(read, size, place);
    const int64_t table = end.count * kPackRowBytes;
    const int64_t tail = table + end.names + end.description, pieces_end = size - kPackEndBytes - tail;
    PackIndex index;
    index.tail_.resize(static_cast<size_t>(tail));
    read(pieces_end, std::as_writable_bytes(std::span(index.tail_)));
    const std::span<const char> bytes(index.tail_);
    if (crc32_of(std::as_bytes(bytes)) != end.crc) refuse_pack(place, "the checksum of its table is wrong");
    index.entries_.reserve(static_cast<size_t>(end.count));
    int64_t piece = kPackMarkBytes, name = table;
    for (int64_t row = 0; row < table; row += kPackRowBytes) {
      const auto at = static_cast<size_t>(row);
      const uint64_t offset = number_at(bytes, at, 8), length = number_at(bytes, at + 8, 4);
      const auto name_bytes = static_cast<int64_t>(number_at(bytes, at + 20, 4));
      if (offset < static_cast<uint64_t>(piece) || offset > static_cast<uint64_t>(pieces_end) ||
          length > static_cast<uint64_t>(pieces_end) - offset || name_bytes > table + end.names - name) {
        refuse_pack(place, format("entry {} is not where it can be", row / kPackRowBytes));
      }
      index.entries_.push_back({.offset = static_cast<int64_t>(offset),
                                .bytes = static_cast<int64_t>(length),
                                .crc = static_cast<uint32_t>(number_at(bytes, at + 12, 4)),
                                .label = static_cast<uint32_t>(number_at(bytes, at + 16, 4)),
                                .name = {bytes.data() + name, static_cast<size_t>(name_bytes)}});
      piece = static_cast<int64_t>(offset + length);
      name += name_bytes;
    }
    index.description_ = {bytes.data() + table + end.names, static_cast<size_t>(end.description)};
    return index;
  });
}

PackWriter::PackWriter(Sink sink) : sink_(std::move(sink)), at_(kPackMarkBytes) { sink_(bytes_in(kPackMark)); }

void PackWriter::add(std::span<const std::byte> piece, uint32_t label, std::string_view name) {
  UNIREPLK_CHECK(piece.size() >> 32 == 0 && name.size() >> 32 == 0, "pack: a piece of {} bytes", piece.size());
  append_little_endian(table_, static_cast<uint64_t>(at_), 8);
  append_little_endian(table_, piece.size(), 4);
  append_little_endian(table_, crc32_of(piece), 4);
  append_little_endian(table_, label, 4);
  append_little_endian(table_, name.size(), 4);
  names_ += name;
  ++count_;
  sink_(piece);
  at_ += std::ssize(piece);
}

void PackWriter::finish(std::string_view description) {
  std::string end;
  append_little_endian(end, count_, 8);
  append_little_endian(end, names_.size(), 8);
  append_little_endian(end, description.size(), 8);
  append_little_endian(end, crc32_of(bytes_in(description), crc32_of(bytes_in(names_), crc32_of(bytes_in(table_)))), 4);
  append_little_endian(end, 0, 4);
  end += kPackMark;
  for (const std::string_view part :
       {std::string_view(table_), std::string_view(names_), description, std::string_view(end)}) {
    sink_(bytes_in(part));
  }
}

}  // namespace unireplk::formats
