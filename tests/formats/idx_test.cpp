#include "unireplk/formats/idx.h"

#include <zlib.h>

#include <fstream>
#include <iterator>

#include "formats/values.h"
#include "support/catch.h"
#include "support/test_data.h"
#include "unireplk/formats/inflate.h"

using namespace unireplk;
using namespace unireplk::formats;
using test::values;

namespace {

std::string idx_file(uint8_t code, const std::vector<uint32_t>& shape, const std::string& data) {
  std::string out{'\0', '\0', static_cast<char>(code), static_cast<char>(shape.size())};
  for (const uint32_t extent : shape) {
    for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(extent >> shift & 0xff);
  }
  return out + data;
}

std::string gzip(const std::string& plain) {
  z_stream z{};
  REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&z, plain.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  z.avail_in = static_cast<uInt>(plain.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

Result<OwnedTensor> parsed_idx(const std::string& file, int64_t max_bytes = 1 << 30) {
  return parse_idx(std::as_bytes(std::span(file)), "a.idx", max_bytes);
}

std::string idx_message(const std::string& file, int64_t max_bytes = 1 << 30) {
  const auto parsed = parsed_idx(file, max_bytes);
  return parsed ? "accepted" : parsed.problem().text();
}

std::string existing_content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("idx: reads every type in big-endian order") {
  const auto bytes = parsed_idx(idx_file(0x08, {2, 2}, "\x01\x02\x03\xff"));
  REQUIRE(bytes);
  CHECK(bytes->dtype == DType::kU8);
  CHECK(bytes->shape == std::vector<int64_t>{2, 2});
  CHECK(values<uint8_t>(*bytes) == std::vector<uint8_t>{1, 2, 3, 255});
  CHECK(values<int8_t>(*parsed_idx(idx_file(0x09, {1}, "\xff"))) == std::vector<int8_t>{-1});
  CHECK(values<int16_t>(*parsed_idx(idx_file(0x0B, {2}, {'\1', '\2', '\xff', '\xfe'}))) ==
        std::vector<int16_t>{258, -2});
  CHECK(values<int32_t>(*parsed_idx(idx_file(0x0C, {1}, {'\0', '\0', '\1', '\0'}))) == std::vector<int32_t>{256});
  CHECK(values<float>(*parsed_idx(idx_file(0x0D, {1}, {'\x3f', '\x80', '\0', '\0'}))) == std::vector<float>{1.0f});
  CHECK(values<double>(*parsed_idx(idx_file(0x0E, {1}, {'\xbf', '\xf0', '\0', '\0', '\0', '\0', '\0', '\0'}))) ==
        std::vector<double>{-1.0});
}

TEST_CASE("idx: a gzip file reads like the plain one") {
  const std::string plain = idx_file(0x08, {100, 100}, std::string(10000, 'a'));
  const auto expected = parsed_idx(plain);
  const auto got = parsed_idx(gzip(plain));
  REQUIRE(got);
  CHECK(got->shape == expected->shape);
  CHECK(got->bytes == expected->bytes);
}

TEST_CASE("idx: gzip members joined end to end are one file") {
  const std::string plain = idx_file(0x08, {6}, "abcdef");
  const auto got = parsed_idx(gzip(plain.substr(0, 10)) + gzip(plain.substr(10)));
  REQUIRE(got);
  CHECK(got->bytes.size() == 6);
}

TEST_CASE("idx: a file cut short anywhere is refused") {
  const std::string plain = idx_file(0x08, {2, 3}, "abcdef");
  for (const std::string& file : {plain, gzip(plain)}) {
    REQUIRE(parsed_idx(file));
    for (size_t length = 0; length < file.size(); ++length) {
      INFO("length " << length << " of " << file.size());
      CHECK_FALSE(parsed_idx(file.substr(0, length)));
    }
  }
}

TEST_CASE("idx: a damaged gzip file is refused") {
  std::string file = gzip(idx_file(0x08, {26}, "abcdefghijklmnopqrstuvwxyz"));
  file[file.size() - 6] ^= 1;  // in the check sum
  CHECK_THAT(idx_message(file), Catch::Contains("cannot decompress the gzip data: incorrect data check"));
  CHECK_THAT(idx_message(gzip(idx_file(0x08, {1}, "a")) + "rest"), Catch::Contains("cannot decompress"));
}

TEST_CASE("idx: a header that lies allocates nothing") {
  using Catch::Contains;
  const uint32_t huge = 1u << 20;
  CHECK_THAT(idx_message(idx_file(0x08, {huge, huge}, "")), Contains("expected at most 1073741824 bytes"));
  CHECK_THAT(idx_message(idx_file(0x08, {~0u, ~0u, ~0u, ~0u}, "")), Contains("expected at most"));
  const int64_t any = std::numeric_limits<int64_t>::max();
  CHECK_THAT(idx_message(idx_file(0x08, {huge, huge}, "abc"), any), Contains("promises 1099511627776 bytes"));
  CHECK_THAT(idx_message(gzip(idx_file(0x08, {huge, huge}, "abc")), any), Contains("promises 1099511627776 bytes"));
}

TEST_CASE("idx: a gzip bomb stops at the promised size") {
  const std::string bomb = gzip(idx_file(0x08, {4}, std::string(100'000'000, '\0')));
  CHECK(bomb.size() < 200'000);
  CHECK_THAT(idx_message(bomb), Catch::Contains("more data than the 4 bytes that the header promises"));
  CHECK_THAT(idx_message(idx_file(0x08, {4}, "abcde")), Catch::Contains("more data than the 4 bytes"));
}

TEST_CASE("idx: refuses what is no IDX header") {
  using Catch::Contains;
  CHECK_THAT(idx_message(""), Contains("a.idx: expected 4 bytes of header, got 0"));
  CHECK_THAT(idx_message("\x89PNG\r\n"), Contains("expected an IDX header, got the bytes 89504e47"));
  CHECK_THAT(idx_message(idx_file(0x0A, {1}, "a")), Contains("expected an IDX header"));
  CHECK_THAT(idx_message(idx_file(0x08, {}, "")), Contains("expected 1 to 8 dimensions, got 0"));
  CHECK_THAT(idx_message(idx_file(0x08, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "a")), Contains("got 9"));
}

TEST_CASE("idx: an empty data set is one") {
  const auto parsed = parsed_idx(idx_file(0x08, {0, 28, 28}, ""));
  REQUIRE(parsed);
  CHECK(parsed->bytes.empty());
}

TEST_CASE("GzipReader: hands out as much as is asked") {
  const std::string file = gzip("0123456789");
  GzipReader reader(std::as_bytes(std::span(file)), "a.gz");
  std::string out(4, ' ');
  const auto into = std::as_writable_bytes(std::span(out));
  CHECK(reader.read(into).value() == 4);
  CHECK(out == "0123");
  CHECK(reader.read(into).value() == 4);
  CHECK(reader.read(into).value() == 2);
  CHECK(reader.read(into).value() == 0);
}

TEST_CASE("idx: reads the bundled photos", "[golden]") {
  const auto images = parsed_idx(existing_content("examples/data/fashion/train-images-idx3-ubyte.gz"));
  REQUIRE(images);
  CHECK(images->shape == std::vector<int64_t>{3500, 28, 28});
  const auto labels = parsed_idx(existing_content("examples/data/fashion/train-labels-idx1-ubyte.gz"));
  REQUIRE(labels);
  CHECK(labels->shape == std::vector<int64_t>{3500});
  for (const uint8_t label : values<uint8_t>(*labels)) CHECK(label < 10);
}

TEST_CASE("idx: reads MNIST", "[golden]") {
  const auto folder = test::test_data("images/mnist_t10k");
  if (!folder) return;
  const auto labels = parsed_idx(existing_content(*folder / "t10k-labels-idx1-ubyte.gz"));
  REQUIRE(labels);
  const auto digits = values<uint8_t>(*labels);
  REQUIRE(digits.size() == 10000);
  // The first ten digits of the test set, as published.
  CHECK(std::vector(digits.begin(), digits.begin() + 10) == std::vector<uint8_t>{7, 2, 1, 0, 4, 1, 4, 9, 5, 9});
}
