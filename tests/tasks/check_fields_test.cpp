#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {
namespace {

using Fields = std::vector<FieldSpec>;

const FieldSpec kImage{
    .name = "image", .dtype = at::kByte, .shape = {-1, -1, 3}, .meaning = "rows x columns x channels"};
const FieldSpec kLabel{.name = "label", .dtype = at::kLong, .shape = {}, .meaning = "index of the class"};

/// What check_fields says when the data offers these; empty when it is content.
std::string complaint(const Fields& needs, const Fields& offers) {
  try {
    check_fields(needs, {.fields = offers, .classes = {}, .constants = {}});
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

FieldSpec image_of(std::vector<int64_t> shape, at::ScalarType dtype = at::kByte) {
  return {.name = "image", .dtype = dtype, .shape = std::move(shape), .meaning = ""};
}

TEST_CASE("check_fields: is content with what fits") {
  CHECK(complaint({kImage, kLabel}, {kLabel, kImage}).empty());
  CHECK(complaint({kImage}, {image_of({224, 160, 3})}).empty());
  CHECK(complaint({image_of({224, 160, 3})}, {image_of({-1, 160, -1})}).empty());
  CHECK(complaint({kLabel}, {image_of({8, 8, 1}), kLabel}).empty());
  CHECK(complaint({}, {}).empty());
}

TEST_CASE("check_fields: names what is missing, and what there is") {
  CHECK(complaint({kImage, kLabel}, {kImage}) ==
        "data field \"label\": the task expects Long [] (index of the class), got nothing; the data have image Byte "
        "[any, "
        "any, 3]. Choose a data source and a data.pipeline that make it, or another task.");
  CHECK_THAT(complaint({kLabel}, {kImage, image_of({4})}),
             Catch::Contains("the data have image Byte [any, any, 3], image Byte [4]."));
  CHECK_THAT(complaint({kLabel}, {}), Catch::Contains("the data have no fields."));
}

TEST_CASE("check_fields: tells another type or shape") {
  CHECK(
      complaint({kImage}, {image_of({224, -1, 3}, at::kFloat)}) ==
      "data field \"image\": the task expects Byte [any, any, 3] (rows x columns x channels), got Float [224, any, 3]. "
      "Choose a data source and a data.pipeline that make it, or another task.");
  CHECK_THAT(complaint({kImage}, {image_of({224, 224, 1})}), Catch::Contains("got Byte [224, 224, 1]"));
  CHECK_THAT(complaint({kImage}, {image_of({224, 224})}), Catch::Contains("got Byte [224, 224]"));
  CHECK_THAT(complaint({kImage}, {image_of({2, 224, 224, 3})}), Catch::Contains("got Byte [2, 224, 224, 3]"));
  CHECK_THAT(complaint({kLabel}, {{.name = "label", .dtype = at::kLong, .shape = {1}, .meaning = ""}}),
             Catch::Contains("the task expects Long [] (index of the class), got Long [1]"));
}

TEST_CASE("check_fields: reports every mistake at once") {
  try {
    check_fields({kImage, kLabel}, {.fields = {image_of({8, 8, 1})}, .classes = {}, .constants = {}});
    FAIL("accepted");
  } catch (const UserError& error) {
    REQUIRE(error.problems().size() == 2);
    CHECK(error.problems()[0].place == "data field \"image\"");
    CHECK(error.problems()[1].place == "data field \"label\"");
  }
}

}  // namespace
}  // namespace unireplk::tasks
