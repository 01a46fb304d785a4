#include "unireplk/formats/npy.h"

#include <cmath>
#include <fstream>
#include <iterator>

#include "formats/torch_bytes.h"
#include "formats/values.h"
#include "support/catch.h"
#include "support/test_data.h"

using namespace unireplk;
using namespace unireplk::formats;
using test::bytes_of_numbers;
using test::values;

namespace {

std::string npy_file(const std::string& header, const std::string& data, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  const auto length = static_cast<uint32_t>(header.size());
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) out += static_cast<char>(length >> (8 * i) & 0xff);
  return out + header + data;
}

std::string header_of(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape +
         ", }\n";
}

Result<OwnedTensor> parsed_npy(const std::string& file) { return parse_npy(std::as_bytes(std::span(file)), "a.npy"); }

std::string npy_message(const std::string& file) {
  const auto parsed = parsed_npy(file);
  return parsed ? "accepted" : parsed.problem().text();
}

}  // namespace

TEST_CASE("npy: reads each version, row-major") {
  for (const int version : {1, 2, 3}) {
    const auto parsed =
        parsed_npy(npy_file(header_of("<f4", "(2, 3)"), bytes_of_numbers<float>({1, 2, 3, 4, 5, 6}), version));
    REQUIRE(parsed);
    CHECK(parsed->dtype == DType::kF32);
    CHECK(parsed->shape == std::vector<int64_t>{2, 3});
    CHECK(values<float>(*parsed) == std::vector<float>{1, 2, 3, 4, 5, 6});
  }
}

TEST_CASE("npy: Fortran order becomes row-major") {
  const auto matrix =
      parsed_npy(npy_file(header_of("<i4", "(2, 3)", true), bytes_of_numbers<int32_t>({1, 4, 2, 5, 3, 6})));
  REQUIRE(matrix);
  CHECK(values<int32_t>(*matrix) == std::vector<int32_t>{1, 2, 3, 4, 5, 6});
  // element (i, j, k) of shape (2, 3, 4) lies at i + 2 j + 6 k and holds 100 i + 10 j + k
  std::vector<int16_t> columns(24);
  std::vector<int16_t> rows;
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      for (int k = 0; k < 4; ++k) {
        rows.push_back(static_cast<int16_t>(100 * i + 10 * j + k));
        columns[static_cast<size_t>(i + 2 * j + 6 * k)] = rows.back();
      }
    }
  }
  const auto cube = parsed_npy(npy_file(header_of("<i2", "(2, 3, 4)", true), bytes_of_numbers(columns)));
  REQUIRE(cube);
  CHECK(values<int16_t>(*cube) == rows);
  CHECK(parsed_npy(npy_file(header_of("<i2", "(2, 0, 4)", true), "")));
}

TEST_CASE("npy: an array that can stay where it lies is seen there, others are copied") {
  // The text ends on a multiple of 64 bytes, as NumPy writes it, in memory that is aligned.
  const auto padded = [](const std::string& descr, bool fortran = false, size_t shift = 0) {
    auto header = header_of(descr, "(2, 2)", fortran);
    header.insert(header.size() - 1, 64 - (10 + header.size()) % 64 + shift, ' ');
    return npy_file(header, bytes_of_numbers(std::vector<int32_t>{1, 2, 3, 4}));
  };
  const auto view = [](const std::string& file) { return view_npy(std::as_bytes(std::span(file))); };
  const auto plain = padded("<i4");
  const auto seen = view(plain);
  REQUIRE(seen);
  CHECK(seen->shape == std::vector<int64_t>{2, 2});
  CHECK(seen->dtype == DType::kI32);
  CHECK(reinterpret_cast<const char*>(seen->bytes.data()) == plain.data() + plain.size() - 16);
  CHECK_FALSE(view(padded(">i4")));
  CHECK_FALSE(view(padded("<i4", /*fortran=*/true)));
  CHECK_FALSE(view(padded("<i4", false, /*shift=*/1)));
  CHECK_FALSE(view(plain.substr(0, plain.size() - 1)));
  CHECK_FALSE(view(npy_file(header_of("<i4", "(0, 2)"), "")));
}

TEST_CASE("npy: big-endian numbers are turned round") {
  CHECK(values<int16_t>(*parsed_npy(npy_file(header_of(">i2", "(2,)"), {'\1', '\2', '\xff', '\xfe'}))) ==
        std::vector<int16_t>{258, -2});
  CHECK(values<double>(*parsed_npy(npy_file(header_of(">f8", "(1,)"), {'\x3f', '\xf0', '\0', '\0', '\0', '\0', '\0',
                                                                       '\0'}))) == std::vector<double>{1.0});
}

TEST_CASE("npy: reads every numeric type, scalars and empty arrays") {
  for (const auto& [code, dtype] : {std::pair{"|b1", DType::kBool},
                                    {"|u1", DType::kU8},
                                    {"|i1", DType::kI8},
                                    {"<u2", DType::kU16},
                                    {"<i2", DType::kI16},
                                    {"<u4", DType::kU32},
                                    {"<i4", DType::kI32},
                                    {"<u8", DType::kU64},
                                    {"=i8", DType::kI64},
                                    {"<f2", DType::kF16},
                                    {"<f4", DType::kF32},
                                    {"<f8", DType::kF64}}) {
    INFO(code);
    const auto parsed =
        parsed_npy(npy_file(header_of(code, "()"), std::string(static_cast<size_t>(size_in_bytes(dtype)), '\1')));
    REQUIRE(parsed);
    CHECK(parsed->dtype == dtype);
    CHECK(parsed->shape.empty());
    CHECK(parsed_npy(npy_file(header_of(code, "(0, 3)"), "")));
  }
}

TEST_CASE("npy: keys may come in any order and with either quote") {
  CHECK(parsed_npy(npy_file("{\"shape\":(1,),\"descr\":\"|u1\",\"fortran_order\":False}", "a")));
}

TEST_CASE("npy: a file cut short anywhere is refused") {
  const std::string file = npy_file(header_of("<f4", "(2,)"), bytes_of_numbers<float>({1, 2}));
  for (size_t length = 0; length < file.size(); ++length) {
    INFO("length " << length);
    CHECK_FALSE(parsed_npy(file.substr(0, length)));
  }
  CHECK_THAT(npy_message(file + "x"), Catch::Contains("expected 8 bytes of data for shape (2), got 9"));
}

TEST_CASE("npy: refuses what it cannot hold") {
  using Catch::Contains;
  CHECK_THAT(npy_message(npy_file(header_of("<U19", "(1,)"), "")), Contains("numpy type \"<U19\""));
  CHECK_THAT(npy_message(npy_file(header_of("|O", "(1,)"), "")), Contains("numpy type \"|O\""));
  CHECK_THAT(npy_message(npy_file(header_of("<c8", "(1,)"), "")), Contains("numpy type"));
  CHECK_THAT(npy_message(npy_file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "")),
             Contains("expected numbers, got records"));
  CHECK_THAT(npy_message(npy_file(header_of("|b1", "(1,)"), "\2")), Contains("booleans to be 0 or 1"));
  CHECK_THAT(npy_message("PK\3\4        "), Contains("a.npy: expected a .npy file"));
  CHECK_THAT(npy_message(npy_file(header_of("<f4", "()"), "abcd", 4)), Contains("version 1 to 3, got 4"));
}

TEST_CASE("npy: refuses shapes that lie") {
  using Catch::Contains;
  CHECK_THAT(npy_message(npy_file(header_of("<f4", "(1099511627776,)"), "abcd")),
             Contains("expected 4398046511104 bytes"));
  CHECK_THAT(npy_message(npy_file(header_of("<f4", "(4294967296, 4294967296)"), "")), Contains("more than 2^63"));
  CHECK_THAT(npy_message(npy_file(header_of("<f4", "(99999999999999999999,)"), "")), Contains("below 2^63"));
  CHECK_THAT(npy_message(npy_file(header_of("<f4", "(-1,)"), "")), Contains("expected extents >= 0"));
  std::string many = "(";
  for (int i = 0; i < 33; ++i) many += "1,";
  CHECK_THAT(npy_message(npy_file(header_of("|u1", many + ")"), "a")), Contains("at most 32 dimensions"));
}

TEST_CASE("npy: refuses headers that are not the one literal") {
  for (const std::string header :
       {"", "{", "{}", "[]", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x",
        "{'descr': '<f4' 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}",
        "{'descr: <f4, fortran_order: False, shape: ()}", "__import__('os')"}) {
    INFO(header);
    CHECK_FALSE(parsed_npy(npy_file(header, "abcd")));
  }
}

TEST_CASE("npy: reads every array of the test data", "[golden]") {
  const auto folder = test::test_data("golden");
  if (!folder) return;
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*folder)) {
    if (entry.path().extension() != ".npy") continue;
    INFO(entry.path());
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    const auto parsed = parsed_npy(file);
    if (!parsed) INFO(parsed.problem().text());
    const bool complex = file.substr(0, 128).find("'<c") != std::string::npos;
    CHECK(parsed.has_value() != complex);
    ++count;
  }
  CHECK(count > 100);
}
