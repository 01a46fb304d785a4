#include "unireplk/formats/safetensors.h"

#include <cstring>
#include <set>

#include "support/catch.h"

using namespace unireplk;
using namespace unireplk::formats;

namespace {

std::string file_of(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + json + std::string(data_bytes, 'x');
}

Result<SafetensorsHeader> parsed_header(const std::string& file) {
  const auto bytes = std::as_bytes(std::span(file));
  const auto size = static_cast<int64_t>(file.size());
  const auto header = safetensors_header_bytes(bytes, size, "a.safetensors");
  if (!header) return header.problem();
  return parse_safetensors_header(bytes.first(static_cast<size_t>(*header)), size, "a.safetensors");
}

std::string safetensors_message(const std::string& file) {
  const auto parsed = parsed_header(file);
  return parsed ? "accepted" : parsed.problem().text();
}

const std::string kTwo =
    R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[2,10]},"a":{"dtype":"F16","shape":[1,1],"data_offsets":[0,2]},)"
    R"("__metadata__":{"format":"pt"}})";

}  // namespace

TEST_CASE("safetensors: reads tensors in the order of their bytes") {
  const auto header = parsed_header(file_of(kTwo, 10));
  REQUIRE(header);
  REQUIRE(header->tensors.size() == 2);
  const auto& [a, b] = std::pair(header->tensors[0], header->tensors[1]);
  const auto data = static_cast<int64_t>(8 + kTwo.size());
  CHECK(a.name == "a");
  CHECK(a.dtype == DType::kF16);
  CHECK(a.shape == std::vector<int64_t>{1, 1});
  CHECK(a.offset == data);
  CHECK(b.offset == data + 2);
  CHECK(b.bytes == 8);
  CHECK(header->metadata == std::map<std::string, std::string>{{"format", "pt"}});
}

TEST_CASE("safetensors: allows scalars, empty tensors, no tensors and trailing spaces") {
  const auto scalar = parsed_header(file_of(R"({"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}   )", 8));
  REQUIRE(scalar);
  CHECK(scalar->tensors[0].shape.empty());
  const auto empty = parsed_header(file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                                           R"("e":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}})",
                                           4));
  REQUIRE(empty);
  CHECK(empty->tensors[0].name == "e");
  CHECK(parsed_header(file_of("{}", 0)));
}

TEST_CASE("safetensors: a file cut short anywhere is refused") {
  const std::string file = file_of(kTwo, 10);
  REQUIRE(parsed_header(file));
  for (size_t length = 0; length < file.size(); ++length) {
    INFO("length " << length);
    CHECK_FALSE(parsed_header(file.substr(0, length)));
  }
}

TEST_CASE("safetensors: refuses what lies") {
  const auto one = [](const std::string& entry, size_t data = 4) {
    return safetensors_message(file_of("{\"a\":" + entry + "}", data));
  };
  using Catch::Contains;
  CHECK_THAT(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
             Contains("expected 8 bytes for its shape, got 4"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]})"),
             Contains("needs 4398046511104 bytes, only 4 are left"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})"), Contains("too large"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]})"),
             Contains("list of integers"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), Contains("list of integers"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), Contains("list of integers"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"), Contains("data_offsets"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})"), Contains("data_offsets"));
  CHECK_THAT(one(R"({"dtype":"F31","shape":[1],"data_offsets":[0,4]})"), Contains("unknown dtype \"F31\""));
  CHECK_THAT(one(R"({"dtype":7,"shape":[1],"data_offsets":[0,4]})"), Contains("unknown dtype 7"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1]})"), Contains("dtype, shape and data_offsets alone"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 5), Contains("1 bytes after the last tensor"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 3), Contains("only 3 are left"));
  CHECK_THAT(one(R"({"dtype":"F32","shape":[1],"data_offsets":[1,5]})", 5), Contains("leaves a gap"));
  CHECK_THAT(one(R"([[[[[[1]]]]]])"), Contains("levels of nesting"));
}

TEST_CASE("safetensors: refuses overlaps, repeated names and bad metadata") {
  const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  using Catch::Contains;
  CHECK_THAT(safetensors_message(file_of("{" + a + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6)),
             Contains("tensor \"b\" overlaps the one before"));
  CHECK_THAT(safetensors_message(file_of("{" + a + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4)),
             Contains("overlaps"));
  CHECK_THAT(safetensors_message(file_of("{" + a + "," + a + "}", 4)), Contains("key \"a\" appears twice"));
  CHECK_THAT(safetensors_message(file_of(R"({"__metadata__":{"k":1}})", 0)),
             Contains("metadata \"k\": expected a text"));
  CHECK_THAT(safetensors_message(file_of(R"({"__metadata__":[]})", 0)), Contains("__metadata__"));
}

TEST_CASE("safetensors: refuses headers that are no JSON object in UTF-8") {
  using Catch::Contains;
  CHECK_THAT(safetensors_message(file_of("[]", 0)), Contains("start with {"));
  CHECK_THAT(safetensors_message(file_of(" {}", 0)), Contains("start with {"));
  CHECK_THAT(safetensors_message(file_of("{", 1)), Contains("not valid JSON"));
  CHECK_THAT(safetensors_message(file_of("{\"\xff\":{}}", 0)), Contains("not valid JSON"));
  CHECK_THAT(safetensors_message(file_of("{} x", 0)), Contains("not valid JSON"));
  CHECK_THAT(safetensors_message(file_of(std::string("{}\0", 3), 0)), Contains("not valid JSON"));
}

TEST_CASE("safetensors: a header length that lies costs nothing") {
  std::string file = file_of("{}", 0);
  for (const uint64_t length : {uint64_t{3}, uint64_t{100'000'001}, uint64_t{1} << 40, ~uint64_t{0}}) {
    std::memcpy(file.data(), &length, 8);
    CHECK_THAT(safetensors_message(file), Catch::StartsWith("a.safetensors: expected a header of "));
  }
}

TEST_CASE("safetensors: a written header reads back and is aligned") {
  std::vector<SafetensorsEntry> tensors{{.name = "stages.0.weight", .dtype = DType::kF32, .shape = {2, 3}},
                                        {.name = "naïve \"quoted\"", .dtype = DType::kBool, .shape = {}},
                                        {.name = "empty", .dtype = DType::kF64, .shape = {0}}};
  const std::map<std::string, std::string> metadata{{"model", "a"}, {"empty", ""}};
  const std::string header = safetensors_header(tensors, metadata);
  CHECK(header.size() % 8 == 0);
  const auto parsed = parsed_header(header + std::string(25, 'x'));
  REQUIRE(parsed);
  CHECK(parsed->metadata == metadata);
  REQUIRE(parsed->tensors.size() == 3);
  std::set<std::string> names;
  for (const auto& entry : parsed->tensors) names.insert(entry.name);
  CHECK(names == std::set<std::string>{"stages.0.weight", "naïve \"quoted\"", "empty"});
  CHECK(parsed->tensors[0].shape == std::vector<int64_t>{2, 3});
}

TEST_CASE("safetensors: every dtype survives by name") {
  for (const auto* name : {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F8_E4M3", "F8_E5M2", "F16",
                           "BF16", "F32", "F64"}) {
    const auto dtype = dtype_named(name);
    REQUIRE(dtype);
    CHECK(name_of(*dtype) == name);
    CHECK(parsed_header(
        safetensors_header(std::vector{SafetensorsEntry{.name = "x", .dtype = *dtype, .shape = {3}}}, {}) +
        std::string(static_cast<size_t>(3 * size_in_bytes(*dtype)), 'x')));
  }
  CHECK_FALSE(dtype_named("f32"));
}

TEST_CASE("safetensors: the writer refuses names a reader would") {
  const std::vector<SafetensorsEntry> twice{{.name = "x"}, {.name = "x"}};
  CHECK_THROWS_AS(safetensors_header(twice, {}), ContractError);
  CHECK_THROWS_AS(safetensors_header(std::vector{SafetensorsEntry{.name = "__metadata__"}}, {}), ContractError);
  CHECK_THROWS_WITH(safetensors_header(std::vector{SafetensorsEntry{.name = "\xff"}}, {}),
                    Catch::Contains("not UTF-8"));
}
