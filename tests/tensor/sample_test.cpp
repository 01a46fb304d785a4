#include "unireplk/tensor/sample.h"

#include <ATen/ATen.h>

#include "support/catch.h"
#include "unireplk/core/error.h"

using namespace unireplk;

namespace {

Sample sample_of(at::Tensor x, int64_t item) {
  Sample sample;
  sample.fields.emplace("x", std::move(x));
  sample.key.item = item;
  sample.source = {.file = "data.csv", .position = item};
  return sample;
}

FieldSpec spec_of(Collate how, at::ScalarType dtype = at::kFloat) {
  return {.name = "x", .dtype = dtype, .shape = {-1, -1}, .collate = how, .meaning = "numbers"};
}

}  // namespace

TEST_CASE("collate: stacks equal shapes in order and keeps keys and sources") {
  const Batch batch =
      collate({sample_of(at::full({2, 3}, 1.0), 10), sample_of(at::full({2, 3}, 2.0), 11)}, {spec_of(Collate::kStack)});
  CHECK(batch.size() == 2);
  CHECK(batch.has("x"));
  CHECK(batch.tensor("x").sizes() == at::IntArrayRef({2, 2, 3}));
  CHECK(at::equal(batch.tensor("x")[1], at::full({2, 3}, 2.0)));
  CHECK(batch.keys[1].item == 11);
  CHECK(batch.sources[0].text() == "data.csv:10");
}

TEST_CASE("collate: pads with zeros up to the largest of each dimension") {
  const Batch batch =
      collate({sample_of(at::ones({2, 1}), 0), sample_of(at::ones({1, 3}), 1)}, {spec_of(Collate::kPad)});
  const at::Tensor& x = batch.tensor("x");
  REQUIRE(x.sizes() == at::IntArrayRef({2, 2, 3}));
  CHECK(at::equal(x[0], at::tensor({1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f}).view({2, 3})));
  CHECK(at::equal(x[1], at::tensor({1.0f, 1.0f, 1.0f, 0.0f, 0.0f, 0.0f}).view({2, 3})));
}

TEST_CASE("collate: pads empty samples too") {
  const Batch batch =
      collate({sample_of(at::ones({0, 4}), 0), sample_of(at::ones({1, 4}), 1)}, {spec_of(Collate::kPad)});
  CHECK(batch.tensor("x").sum().item<float>() == 4.0f);
}

TEST_CASE("collate: a list leaves the samples as they are") {
  const at::Tensor first = at::ones({2});
  const Batch batch = collate({sample_of(first, 0), sample_of(at::ones({5}), 1)}, {spec_of(Collate::kList)});
  const auto& list = std::get<std::vector<at::Tensor>>(batch.fields.at("x"));
  REQUIRE(list.size() == 2);
  CHECK(list[0].is_same(first));
  CHECK(list[1].size(0) == 5);
  CHECK_THROWS_WITH(batch.tensor("x"), Catch::Contains("is a list"));
  CHECK_THROWS_WITH(batch.tensor("y"), Catch::Contains("no field \"y\""));
}

TEST_CASE("collate: scalars become a vector") {
  const Batch batch =
      collate({sample_of(at::scalar_tensor(3, at::kLong), 0), sample_of(at::scalar_tensor(4, at::kLong), 1)},
              {spec_of(Collate::kStack, at::kLong)});
  CHECK(at::equal(batch.tensor("x"), at::tensor({3, 4}, at::kLong)));
}

TEST_CASE("collate: names the sample that does not fit") {
  const auto stack = [](at::Tensor a, at::Tensor b, Collate how) {
    return collate({sample_of(std::move(a), 0), sample_of(std::move(b), 7)}, {spec_of(how)});
  };
  CHECK_THROWS_WITH(stack(at::ones({2}), at::ones({3}), Collate::kStack),
                    Catch::Contains("[2] (data.csv:0)") && Catch::Contains("[3] (data.csv:7)"));
  CHECK_THROWS_WITH(stack(at::ones({2}), at::ones({2, 1}), Collate::kPad), Catch::Contains("number of dimensions"));
  CHECK_THROWS_WITH(stack(at::ones({2}), at::ones({2}, at::kDouble), Collate::kStack),
                    Catch::Contains("data.csv:7 must be Float, got Double"));
  CHECK_THROWS_WITH(collate({Sample{}}, {spec_of(Collate::kStack)}), Catch::Contains("no field \"x\""));
  CHECK_THROWS_AS(collate({}, {spec_of(Collate::kStack)}), ContractError);
}

TEST_CASE("Batch::to: keeps everything on the same device") {
  Batch batch = collate({sample_of(at::ones({2}), 3)}, {spec_of(Collate::kStack)});
  batch.fields.emplace("list", std::vector<at::Tensor>{at::ones({1})});
  const Batch moved = batch.to(at::kCPU);
  CHECK(at::equal(moved.tensor("x"), batch.tensor("x")));
  CHECK(std::get<std::vector<at::Tensor>>(moved.fields.at("list")).size() == 1);
  CHECK(moved.keys[0].item == 3);
}

TEST_CASE("DataInfo::find: finds by name or says so") {
  DataInfo info;
  info.fields = {spec_of(Collate::kStack)};
  REQUIRE(info.find("x") != nullptr);
  CHECK(info.find("x")->meaning == "numbers");
  CHECK(info.find("label") == nullptr);
}
