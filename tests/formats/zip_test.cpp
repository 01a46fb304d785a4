#include "unireplk/formats/zip.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>

#include "formats/torch_bytes.h"
#include "support/catch.h"
#include "unireplk/formats/zip_writer.h"

using namespace unireplk;
using namespace unireplk::formats;
using test::put_at;
using test::zip_of;
using test::ZipPart;

namespace {

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Every entry's content, or the first problem.
std::string zip_outcome(const std::string& file) {
  const auto archive = ZipArchive::open(std::as_bytes(std::span(file)), "a.zip");
  if (!archive) return archive.problem().text();
  std::string out;
  for (const auto& [name, entry] : archive->entries()) {
    const auto content = archive->read(name);
    if (!content) return content.problem().text();
    out += name + "=" + text(content->bytes()) + ";";
  }
  return out;
}

const std::string kLong(1000, 'x');

}  // namespace

TEST_CASE("zip: reads stored and deflated entries, and an archive without any") {
  CHECK(zip_outcome(zip_of({{.name = "b/two", .content = "2"}, {.name = "a", .content = "one", .deflate = true}})) ==
        "a=one;b/two=2;");
  CHECK(zip_outcome(zip_of({{.name = "empty"}, {.name = "also", .deflate = true}})) == "also=;empty=;");
  CHECK(zip_outcome(zip_of({})).empty());
}

TEST_CASE("zip: a checksum of zero was left out by the writer") {
  const auto no_crc = [](std::string& header) { put_at(header, 16, 0, 4); };
  CHECK(zip_outcome(zip_of({{.name = "a", .content = "one", .spoil_central = no_crc}})) == "a=one;");
}

TEST_CASE("zip: a file cut short anywhere is refused") {
  const auto file = zip_of({{.name = "a", .content = kLong}, {.name = "b", .content = kLong, .deflate = true}});
  REQUIRE(zip_outcome(file).starts_with("a=xxx"));
  for (size_t length = 0; length < file.size(); ++length) {
    INFO("length " << length);
    REQUIRE_FALSE(ZipArchive::open(std::as_bytes(std::span(file)).first(length), "a.zip"));
  }
}

TEST_CASE("zip: a changed byte of content is found") {
  for (const bool deflate : {false, true}) {
    auto file = zip_of({{.name = "a", .content = "The quick brown fox", .deflate = deflate}});
    file[34] ^= 1;
    INFO(deflate);
    CHECK_THAT(zip_outcome(file), Catch::StartsWith("a.zip: entry \"a\": "));
  }
}

TEST_CASE("zip: refuses headers that lie") {
  const auto central = [](size_t at, uint64_t value, size_t width) {
    const auto spoil = [=](std::string& header) { put_at(header, at, value, width); };
    return zip_outcome(zip_of({{.name = "a", .content = kLong, .spoil_central = spoil}}));
  };
  const auto deflated_to = [](uint64_t size) {
    const auto local = [=](std::string& header) { put_at(header, 22, size, 4); };
    const auto table = [=](std::string& header) { put_at(header, 24, size, 4); };
    return zip_outcome(
        zip_of({{.name = "a", .content = kLong, .deflate = true, .spoil_local = local, .spoil_central = table}}));
  };
  const auto local = [](size_t at, uint64_t value, size_t width) {
    const auto spoil = [=](std::string& header) { put_at(header, at, value, width); };
    return zip_outcome(zip_of({{.name = "a", .content = kLong, .spoil_local = spoil}}));
  };
  using Catch::Contains;
  CHECK_THAT(central(0, 7, 4), Contains("table of the zip archive is damaged"));
  CHECK_THAT(central(8, 1, 2), Contains("is encrypted"));
  CHECK_THAT(central(10, 12, 2), Contains("packed by method 12"));
  CHECK_THAT(central(16, 7, 4), Contains("checksum does not match"));
  CHECK_THAT(central(20, 999, 4), Contains("999 bytes packed and 1000 unpacked"));
  CHECK_THAT(deflated_to(1001), Contains("cannot be unpacked to 1001 bytes"));
  CHECK_THAT(deflated_to(999), Contains("unpacks to more than 999 bytes"));
  CHECK_THAT(deflated_to(0xfffffff0), Contains("which no deflate stream does"));
  CHECK_THAT(central(28, 2, 2), Contains("cut short"));
  CHECK_THAT(central(28, 0, 2), Contains("bytes after the last entry"));
  CHECK_THAT(central(42, 1, 4), Contains("another one in the table"));
  CHECK_THAT(central(42, 0xfffffffe, 4), Contains("cut short"));
  CHECK_THAT(central(42, 0xffffffff, 4), Contains("cut short"));  // zip64, without the field
  CHECK_THAT(local(0, 7, 4), Contains("another one in the table"));
  CHECK_THAT(local(8, 8, 2), Contains("another one in the table"));
  CHECK_THAT(local(18, 9, 4), Contains("says 9 bytes at its place, 1000 in the table"));
  CHECK_THAT(local(26, 0, 2), Contains("another one in the table"));
  CHECK_THAT(local(28, 9, 2), Contains("cut short"));
}

TEST_CASE("zip: refuses entries within each other, names that repeat and tables of the wrong size") {
  const auto same_place = [](std::string& header) { put_at(header, 42, 0, 4); };
  using Catch::Contains;
  CHECK_THAT(
      zip_outcome(zip_of({{.name = "a", .content = "1"}, {.name = "a", .content = "1", .spoil_central = same_place}})),
      Contains("overlaps the one before"));
  CHECK_THAT(zip_outcome(zip_of({{.name = "a"}, {.name = "a"}})), Contains("entry \"a\" comes twice"));
  const auto spoil_end = [](size_t at, uint64_t value, size_t width) {
    auto file = zip_of({{.name = "a", .content = "1"}});
    file.replace(file.size() - 22 + at, width, test::little(value, width));
    return zip_outcome(file);
  };
  CHECK_THAT(spoil_end(4, 1, 2), Contains("several disks"));
  CHECK_THAT(spoil_end(10, 2, 2), Contains("says 2 entries"));
  CHECK_THAT(spoil_end(10, 0, 2), Contains("bytes after the last entry"));
  CHECK_THAT(spoil_end(12, 46, 4), Contains("should end at byte"));
  CHECK_THAT(spoil_end(16, 0xfffffff0, 4), Contains("should end at byte"));
}

TEST_CASE("zip: a bomb is refused before it goes off") {
  // 1.0 MB of zeros a piece, in 1 KB: a hundred of them pass every check of one entry alone.
  const std::string zeros(1'000'000, '\0');
  std::vector<ZipPart> parts;
  for (int i = 0; i < 100; ++i) parts.push_back({.name = std::to_string(i), .content = zeros, .deflate = true});
  const auto file = zip_of(parts);
  CHECK(file.size() < 120'000);
  CHECK_THAT(zip_outcome(file), Catch::Contains("unpacks to more than 64 times its size"));
}

TEST_CASE("zip: what the writer writes reads back, aligned, and the same each time") {
  const auto write = [] {
    std::string file;
    ZipWriter zip([&](std::span<const std::byte> bytes) { file += text(bytes); });
    for (const auto& [name, content] : {std::pair("a/one", "1"), std::pair("a/two", "22"), std::pair("a/none", "")}) {
      zip.add(name, std::as_bytes(std::span(std::string_view(content))), 64);
    }
    zip.finish();
    return file;
  };
  const auto file = write();
  CHECK(file == write());
  CHECK(zip_outcome(file) == "a/none=;a/one=1;a/two=22;");
  const auto archive = ZipArchive::open(std::as_bytes(std::span(file)), "a.zip");
  for (const auto& [name, entry] : archive->entries()) {
    CHECK((entry.packed.data() - std::as_bytes(std::span(file)).data()) % 64 == 0);
  }
}

TEST_CASE("zip: more entries than 16 bits count need zip64, and get it") {
  std::string file;
  ZipWriter zip([&](std::span<const std::byte> bytes) { file += text(bytes); });
  for (int i = 0; i < 66'000; ++i) zip.add(std::to_string(i), {});
  zip.finish();
  const auto archive = ZipArchive::open(std::as_bytes(std::span(file)), "a.zip");
  REQUIRE(archive);
  CHECK(archive->entries().size() == 66'000);
  auto lying = file;
  lying.replace(file.size() - 22 - 20 + 8, 8, test::little(uint64_t{1} << 60, 8));
  CHECK_THAT(zip_outcome(lying), Catch::Contains("cut short"));
  lying.replace(file.size() - 22 - 20 + 8, 8, test::little(0, 8));
  CHECK_THAT(zip_outcome(lying), Catch::Contains("not where its locator says"));
}

TEST_CASE("zip: entries and archives beyond four gigabytes", "[slow]") {
  constexpr size_t kLarge = (size_t{1} << 32) + 5;
  const auto map = [](int descriptor, size_t size) {
    const int flags = descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_PRIVATE;
    void* data = mmap(nullptr, size, PROT_READ, flags, descriptor, 0);
    REQUIRE(data != MAP_FAILED);
    return std::span(static_cast<const std::byte*>(data), size);
  };
  const auto zeros = map(-1, kLarge);
  std::FILE* file = std::tmpfile();  // with a hole where the zeros are
  REQUIRE(file != nullptr);
  size_t size = 0;
  ZipWriter zip([&](std::span<const std::byte> bytes) {
    if (bytes.size() < kLarge) {
      REQUIRE(pwrite(fileno(file), bytes.data(), bytes.size(), static_cast<off_t>(size)) == std::ssize(bytes));
    }
    size += bytes.size();
  });
  zip.add("a/large", zeros, 64);
  zip.add("a/behind", std::as_bytes(std::span(std::string_view("1"))), 64);
  zip.finish();
  const auto written = map(fileno(file), size);
  const auto archive = ZipArchive::open(written, "a.zip");
  REQUIRE(archive);
  CHECK(archive->find("a/large")->size == kLarge);
  const auto behind = archive->read("a/behind");
  REQUIRE(behind);
  CHECK(text(behind->bytes()) == "1");
  munmap(const_cast<std::byte*>(written.data()), size);
  munmap(const_cast<std::byte*>(zeros.data()), kLarge);
  std::fclose(file);
}
