#include "unireplk/data/npy.h"

#include <ATen/ATen.h>

#include <fstream>

#include "support/catch.h"
#include "support/npy_bytes.h"
#include "support/temporary_folder.h"
#include "unireplk/core/error.h"
#include "unireplk/data/array_pipeline.h"
#include "unireplk/data/dataset.h"

using namespace unireplk;
using namespace unireplk::data;
using Catch::Matchers::Contains;

namespace {

/// Write an array; of the shape that `shape` tells, values counted up from `first`.
template <class T>
void write(const std::filesystem::path& file, const std::vector<int64_t>& shape, const std::vector<T>& values) {
  std::ofstream(file, std::ios::binary) << test::npy_bytes(shape, values);
}

template <class T>
std::vector<T> counted(int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i % 100);
  return values;
}

struct Arrays {
  NpyConfig config(Layout layout) const {
    return {.inputs = folder / "x.npy", .targets = folder / "y.npy", .layout = layout};
  }

  test::TemporaryFolder folder;
};

at::Tensor image_of(const Source& source, const Pipeline& pipeline, int64_t index) {
  return (*pipeline.apply(*source.read(index), Draw{}))[0].fields.at("image");
}

}  // namespace

TEMPLATE_TEST_CASE("npy: any type of numbers becomes standardised maps", "", uint8_t, int16_t, int64_t, float, double) {
  const Arrays arrays;
  write(arrays.folder / "x.npy", {4, 5, 3}, counted<TestType>(60));  // N L C
  write<int32_t>(arrays.folder / "y.npy", {4}, {0, 2, 1, 2});
  const auto source = make_npy(arrays.config(Layout::kNLC));
  CHECK(source->size() == 4);
  CHECK(source->label(1) == 2);
  CHECK(source->info().classes == std::vector<std::string>{"0", "1", "2"});
  const at::Tensor x = at::arange(60, at::kDouble).view({4, 5, 3}).permute({0, 2, 1});  // N C L
  const at::Tensor mean = x.mean(at::IntArrayRef{0, 2}), std = x.std(at::IntArrayRef{0, 2}, /*unbiased=*/false);
  const at::Tensor expected = ((x - mean.view({1, 3, 1})) / std.view({1, 3, 1})).to(at::kFloat);
  const auto row = make_array_pipeline({}, source->info(), Mode::kTrain);
  const auto rows = make_array_pipeline({.series = SeriesMap::kRows}, source->info(), Mode::kTrain);
  for (int64_t i = 0; i < 4; ++i) {
    CHECK(at::allclose(image_of(*source, *row, i), expected[i].view({3, 1, 5}), 1e-6, 1e-6));
    CHECK(at::allclose(image_of(*source, *rows, i), expected[i].contiguous().view({1, 3, 5}), 1e-6, 1e-6));
  }
  CHECK(row->describe(source->info()).find("image")->shape == std::vector<int64_t>{3, 1, 5});
  CHECK(rows->describe(source->info()).find("image")->shape == std::vector<int64_t>{1, 3, 5});
}

TEST_CASE("npy: each layout gives channels first") {
  const Arrays arrays;
  write<int64_t>(arrays.folder / "y.npy", {2}, {0, 1});
  const auto first = [&](Layout layout, const std::vector<int64_t>& shape) {
    write(arrays.folder / "x.npy", shape, counted<float>(48));
    const auto source = make_npy(arrays.config(layout));
    const auto pipeline = make_array_pipeline(
        {.mean = std::vector<double>(static_cast<size_t>(std::get<at::Tensor>(source->read(0)->payload).size(0)), 0.0),
         .std = std::vector<double>(static_cast<size_t>(std::get<at::Tensor>(source->read(0)->payload).size(0)), 1.0)},
        source->info(), Mode::kTrain);
    return image_of(*source, *pipeline, 1);
  };
  const at::Tensor second = at::arange(24, 48, at::kFloat);
  CHECK(first(Layout::kNCHW, {2, 3, 4, 2}).equal(second.view({3, 4, 2})));
  CHECK(first(Layout::kNHWC, {2, 4, 2, 3}).equal(second.view({4, 2, 3}).permute({2, 0, 1})));
  CHECK(first(Layout::kNCL, {2, 3, 8}).equal(second.view({3, 1, 8})));
  CHECK(first(Layout::kNC, {2, 24}).equal(second.view({1, 1, 24})));
}

TEST_CASE("array: maps are resized or padded to a size") {
  const Arrays arrays;
  write(arrays.folder / "x.npy", {2, 1, 2, 3}, counted<float>(12));
  write<int64_t>(arrays.folder / "y.npy", {2}, {0, 1});
  const auto source = make_npy(arrays.config(Layout::kNCHW));
  const ArrayPipelineConfig plain{.mean = std::vector{0.0}, .std = std::vector{1.0}};
  auto config = plain;
  config.size = std::array<int64_t, 2>{4, 6};
  const auto doubled = image_of(*source, *make_array_pipeline(config, source->info(), Mode::kTrain), 0);
  CHECK(doubled.equal(at::upsample_bilinear2d(at::arange(6, at::kFloat).view({1, 1, 2, 3}), {4, 6}, false)[0]));
  config.fit = Fit::kPad;
  const auto padded = image_of(*source, *make_array_pipeline(config, source->info(), Mode::kTrain), 0);
  CHECK(padded.slice(1, 0, 2).slice(2, 0, 3).equal(at::arange(6, at::kFloat).view({1, 2, 3})));
  CHECK(padded.sum().item<float>() == 15.0f);
  config.size = std::array<int64_t, 2>{4, 2};
  CHECK_THROWS_WITH(make_array_pipeline(config, source->info(), Mode::kTrain),
                    Contains("data.pipeline.size: expected at least the 2 x 3 of the items with fit: pad, got 4 x 2"));
  CHECK_THROWS_WITH(
      make_array_pipeline({.mean = std::vector{0.0, 1.0}, .std = std::vector{1.0, 1.0}}, source->info(), Mode::kTrain),
      Contains("data.pipeline.mean: expected 1 values, one for each channel, got 2"));
  CHECK_THROWS_WITH(make_array_pipeline({}, DataInfo{}, Mode::kTrain),
                    Contains("the data source gives something else"));
}

TEST_CASE("npy: a constant channel has no deviation to divide by") {
  const Arrays arrays;
  write<float>(arrays.folder / "x.npy", {2, 2}, {7, 1, 7, 3});
  write<int64_t>(arrays.folder / "y.npy", {2}, {0, 1});
  const auto source = make_npy(arrays.config(Layout::kNC));
  const auto image = image_of(*source, *make_array_pipeline({}, source->info(), Mode::kTrain), 1);
  CHECK(image.equal(at::tensor({0.0f, 1.0f}).view({1, 1, 2})));
}

TEST_CASE("npy: what does not fit is told with its place") {
  const Arrays arrays;
  const auto x = arrays.folder / "x.npy", y = arrays.folder / "y.npy";
  write<int64_t>(y, {2}, {0, 1});
  write(x, {2, 3, 4}, counted<float>(24));
  const auto complaint = [&](Layout layout, std::optional<std::filesystem::path> classes = {}) -> std::string {
    auto config = arrays.config(layout);
    config.classes = classes;
    try {
      make_npy(config);
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  };
  CHECK(complaint(Layout::kNCL).empty());
  CHECK_THAT(complaint(Layout::kNCHW),
             Contains("x.npy: expected 4 axes, NCHW, none of them empty, got Float [2, 3, 4]"));
  write<int64_t>(y, {3}, {0, 1, 0});
  CHECK_THAT(complaint(Layout::kNCL), Contains("y.npy: expected 2 labels, one for each item of `inputs`, got 3"));
  write<float>(y, {2}, {0, 1});
  CHECK_THAT(complaint(Layout::kNCL), Contains("y.npy: expected class indices, integers [N], got Float [2]"));
  write<int64_t>(y, {2, 1}, {0, 1});
  CHECK_THAT(complaint(Layout::kNCL), Contains("got Long [2, 1]"));
  write<int64_t>(y, {2}, {0, -1});
  CHECK_THAT(complaint(Layout::kNCL), Contains("y.npy: item 1: expected a label in [0, 0], got -1"));
  write<int64_t>(y, {2}, {0, 5});
  std::ofstream(arrays.folder / "names.txt") << "ant\nbee\n";
  CHECK_THAT(complaint(Layout::kNCL, arrays.folder / "names.txt"),
             Contains("y.npy: item 1: expected a label in [0, 1], got 5"));
  write<int64_t>(y, {2}, {0, 1});
  auto holes = counted<float>(24);
  holes[13] = NAN;
  holes[20] = INFINITY;
  write(x, {2, 3, 4}, holes);
  CHECK_THAT(complaint(Layout::kNCL), Contains("x.npy: item 1: expected finite numbers, got 2 that are not"));
  write(x, {0, 3, 4}, std::vector<float>{});
  CHECK_THAT(complaint(Layout::kNCL), Contains("none of them empty"));
  std::ofstream(x, std::ios::binary) << "not an array";
  CHECK_THAT(complaint(Layout::kNCL), Contains("x.npy: expected a .npy file"));
  std::filesystem::remove(x);
  CHECK_THAT(complaint(Layout::kNCL), Contains("x.npy"));
}
