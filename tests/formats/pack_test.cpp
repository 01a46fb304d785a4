#include "unireplk/formats/pack.h"

#include <algorithm>

#include "support/catch.h"
#include "unireplk/formats/checksum.h"

using namespace unireplk;
using namespace unireplk::formats;
using Catch::Matchers::Contains;

namespace {

struct Piece {
  std::string content;
  uint32_t label;
  std::string name;
};

std::string pack_of(const std::vector<Piece>& pieces, const std::string& description) {
  std::string file;
  PackWriter writer([&](std::span<const std::byte> bytes) {
    file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  for (const auto& [content, label, name] : pieces) writer.add(std::as_bytes(std::span(content)), label, name);
  writer.finish(description);
  return file;
}

Result<PackIndex> index_of(const std::string& file) {
  const auto read = [&file](int64_t offset, std::span<std::byte> out) {
    REQUIRE(offset >= 0);
    REQUIRE(offset + std::ssize(out) <= std::ssize(file));
    std::ranges::copy(std::as_bytes(std::span(file)).subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  return PackIndex::read(read, std::ssize(file), "a.pack");
}

std::string pack_message(const std::string& file) {
  const auto index = index_of(file);
  return index ? "accepted" : index.problem().text();
}

const std::vector<Piece> kPieces{{"first", 7, "a/1.jpg"}, {"", 0, ""}, {std::string("\0\xff", 2), 4294967295u, "b"}};

}  // namespace

TEST_CASE("pack: pieces, labels, names and description come back") {
  const std::string file = pack_of(kPieces, "{}");
  const auto index = index_of(file).value_or_throw();
  CHECK(index.description() == "{}");
  REQUIRE(index.entries().size() == kPieces.size());
  for (size_t i = 0; i < kPieces.size(); ++i) {
    const auto& entry = index.entries()[i];
    const auto piece = file.substr(static_cast<size_t>(entry.offset), static_cast<size_t>(entry.bytes));
    CHECK(piece == kPieces[i].content);
    CHECK(entry.crc == crc32_of(std::as_bytes(std::span(piece))));
    CHECK(entry.label == kPieces[i].label);
    CHECK(entry.name == kPieces[i].name);
  }
  CHECK(index_of(pack_of({}, "")).value_or_throw().entries().empty());
}

TEST_CASE("pack: a file cut short anywhere, or changed behind the pieces, is refused") {
  const std::string file = pack_of(kPieces, "{}");
  for (size_t size = 0; size < file.size(); ++size) CHECK_FALSE(index_of(file.substr(0, size)).has_value());
  for (size_t at = 23; at < file.size(); ++at) {
    if (at >= file.size() - 20 && at < file.size() - 16) continue;  // unused
    std::string damaged = file;
    damaged[at] ^= 1;
    INFO(at);
    CHECK_FALSE(index_of(damaged).has_value());
  }
}

TEST_CASE("pack: what is wrong is told") {
  const std::string file = pack_of(kPieces, "{}");
  CHECK_THAT(pack_message("short"), Contains("a.pack: expected a pack file, got 5 bytes. It is no pack file"));
  CHECK_THAT(pack_message("x" + file.substr(1)), Contains("does not begin as a pack file"));
  CHECK_THAT(pack_message(file.substr(0, file.size() - 1)), Contains("does not end as a pack file: cut short?"));
  std::string damaged = file;
  damaged[file.size() - 48 + 7] = '\x7f';
  CHECK_THAT(pack_message(damaged), Contains("its table is larger than the file"));
  damaged = file;
  damaged[file.size() - 60] ^= 1;
  CHECK_THAT(pack_message(damaged), Contains("the checksum of its table is wrong"));
}
