#include "unireplk/formats/tar.h"

#include <algorithm>

#include "support/catch.h"
#include "support/tar_bytes.h"

using namespace unireplk;
using namespace unireplk::formats;
using Catch::Matchers::Contains;
using test::octal;
using test::tar_block;
using test::tar_end;
using test::tar_member;
using test::tar_of;
using test::TarHeader;

namespace {

TarReader reader_of(const std::string& file) {
  const auto read = [&file](int64_t offset, std::span<std::byte> out) {
    REQUIRE(offset >= 0);
    REQUIRE(offset + std::ssize(out) <= std::ssize(file));
    std::ranges::copy(std::as_bytes(std::span(file)).subspan(static_cast<size_t>(offset), out.size()), out.begin());
  };
  return TarReader(read, std::ssize(file), "a.tar");
}

Result<std::vector<TarMember>> members_of(const std::string& file) {
  auto reader = reader_of(file);
  std::vector<TarMember> members;
  TarMember member;
  while (true) {
    const auto more = reader.next(member);
    if (!more) return more.problem();
    if (!*more) return members;
    members.push_back(member);
  }
}

std::string tar_message(const std::string& file) {
  const auto members = members_of(file);
  return members ? "accepted" : members.problem().text();
}

std::string content_of(const std::string& file, const TarMember& member) {
  return file.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.bytes));
}

/// A name that no header holds, told by the records of GNU tar and of pax.
const std::string kLongName = std::string(150, 'd') + "/" + std::string(150, 'f') + ".jpg";

std::string pax(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

}  // namespace

TEST_CASE("tar: names, sizes and places of the members") {
  const std::string file = tar_of({{"a/1.jpg", "first"}, {"empty", ""}, {"b.txt", std::string(513, 'x')}});
  const auto members = members_of(file).value_or_throw();
  REQUIRE(members.size() == 3);
  CHECK(members[0].name == "a/1.jpg");
  CHECK(content_of(file, members[0]) == "first");
  CHECK(members[1].bytes == 0);
  CHECK(content_of(file, members[2]) == std::string(513, 'x'));
  CHECK(members_of(tar_end()).value_or_throw().empty());
}

TEST_CASE("tar: after the end there is nothing more") {
  const std::string file = tar_of({{"a", "1"}});
  auto reader = reader_of(file);
  TarMember member;
  CHECK(*reader.next(member));
  CHECK_FALSE(*reader.next(member));
  CHECK_FALSE(*reader.next(member));
  CHECK(reader.position() == std::ssize(file));
}

TEST_CASE("tar: kinds of members") {
  std::string file;
  for (const char type : {'0', '\0', '7', '5', '1', '2', '3', '6', 'V'}) {
    file += tar_block({.name = "m", .size = octal(0), .type = type});
  }
  file += tar_block({.name = "old/", .size = octal(0), .type = '\0', .magic = ""}) + tar_end();
  std::vector<TarKind> kinds;
  for (const auto& member : members_of(file).value_or_throw()) kinds.push_back(member.kind);
  CHECK(kinds == std::vector{TarKind::kFile, TarKind::kFile, TarKind::kFile, TarKind::kFolder, TarKind::kLink,
                             TarKind::kLink, TarKind::kDevice, TarKind::kDevice, TarKind::kOther, TarKind::kFolder});
}

TEST_CASE("tar: a link may say a size, and no bytes follow") {
  const std::string file = tar_block({.name = "link", .size = octal(7000), .type = '1'}) + tar_of({{"next", "bytes"}});
  const auto members = members_of(file).value_or_throw();
  REQUIRE(members.size() == 2);
  CHECK(members[0].bytes == 0);
  CHECK(content_of(file, members[1]) == "bytes");
}

TEST_CASE("tar: long names of POSIX, GNU tar and pax") {
  const auto name_of = [](const std::string& file) { return members_of(file).value_or_throw().at(0).name; };
  const auto rest = tar_of({{"short", "x"}});
  CHECK(name_of(tar_member({.name = "f.jpg", .prefix = "d/e"}, "x") + tar_end()) == "d/e/f.jpg");
  CHECK(name_of(tar_member({.name = "f.jpg", .magic = "ustar  ", .prefix = "12345670"}, "x") + tar_end()) == "f.jpg");
  CHECK(name_of(tar_member({.name = std::string(100, 'n')}, "x") + tar_end()) == std::string(100, 'n'));
  CHECK(name_of(tar_member({.name = "././@LongLink", .type = 'L'}, kLongName + '\0') + rest) == kLongName);
  CHECK(name_of(tar_member({.name = "x", .type = 'x'}, pax("mtime", "1.5") + pax("path", kLongName)) + rest) ==
        kLongName);
  CHECK(name_of(tar_member({.name = "k", .type = 'K'}, "far away") + rest) == "short");
  CHECK(name_of(tar_member({.name = "g", .type = 'g'}, pax("comment", "a commit")) + rest) == "short");
}

TEST_CASE("tar: sizes in binary and in pax records") {
  const std::string binary = "\x80" + std::string(10, '\0') + "\x03";
  const std::string file = tar_member({.name = "a", .size = binary}, "abc") +
                           tar_member({.name = "x", .type = 'x'}, pax("size", "3")) +
                           tar_member({.name = "b", .size = octal(0)}, "def") + tar_end();
  const auto members = members_of(file).value_or_throw();
  REQUIRE(members.size() == 2);
  CHECK(content_of(file, members[0]) == "abc");
  CHECK(content_of(file, members[1]) == "def");
}

TEST_CASE("tar: what is wrong is told with its place") {
  const std::string good = tar_of({{"a", "1"}});
  const std::string head = "a.tar: header at byte 0: ";
  std::string damaged = good;
  damaged[0] = 'b';
  CHECK_THAT(tar_message(damaged), Contains(head + "its checksum is wrong. It is no tar archive, or damaged"));
  CHECK_THAT(tar_message(std::string("\x1f\x8b", 2) + std::string(1022, 'z')), Contains("gzip has packed"));
  CHECK_THAT(tar_message(""), Contains(head + "the archive ends without the zeros that end one"));
  CHECK_THAT(tar_message(good.substr(0, 1024)), Contains("header at byte 1024: the archive ends without the zeros"));
  CHECK_THAT(tar_message(good + good), Contains("there is more behind the end"));
  CHECK_THAT(tar_message(tar_block({.name = "a", .size = "xyz"})), Contains("expected a size"));
  CHECK_THAT(tar_message(tar_block({.name = "a", .size = std::string(12, '\xff')})), Contains("negative"));
  CHECK_THAT(tar_message(tar_block({.name = "a", .size = "\x80" + std::string(11, '\xff')})),
             Contains("expected a size"));
  CHECK_THAT(tar_message(tar_block({.name = "a", .size = octal(5000)}) + tar_end()),
             Contains("\"a\" says 5000 bytes, the archive has 1024 more: cut short?"));
  CHECK_THAT(tar_message(tar_member({.name = "a", .type = 'S'}, "x") + tar_end()), Contains("sparse"));
  CHECK_THAT(tar_message(tar_member({.name = ""}, "x") + tar_end()), Contains("without a name"));
}

TEST_CASE("tar: records that cannot be are refused") {
  const auto with = [](char type, const std::string& content) {
    return tar_message(tar_member({.name = "r", .type = type}, content) + tar_of({{"a", "1"}}));
  };
  CHECK_THAT(with('L', std::string(70000, 'n')), Contains("a record of at most 65536 bytes, got 70000"));
  CHECK_THAT(with('x', "5 a=b\n"), Contains("expected pax records"));
  CHECK_THAT(with('x', "999 path=b\n"), Contains("expected pax records"));
  CHECK_THAT(with('x', "99999999999999999999 path=b\n"), Contains("expected pax records"));
  CHECK_THAT(with('x', "path=b\n"), Contains("expected pax records"));
  CHECK_THAT(with('x', pax("size", "-1")), Contains("expected a size"));
  CHECK_THAT(with('x', pax("path", std::string("a\0b", 3))), Contains("zero byte"));
  CHECK_THAT(with('x', pax("GNU.sparse.major", "1")), Contains("sparse"));
  CHECK_THAT(with('g', pax("path", "same")), Contains("the path of one member, got one for all"));
  CHECK_THAT(tar_message(tar_member({.name = "r", .type = 'L'}, "name") + tar_end()), Contains("does not follow"));
  CHECK_THAT(tar_message(tar_block({.name = "r", .size = octal(3000), .type = 'x'}) + tar_end()),
             Contains("ends within a record"));
}
