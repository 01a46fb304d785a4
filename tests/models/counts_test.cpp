#include <ATen/ops/zeros.h>

#include "support/catch.h"
#include "unireplk/models/describe.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;

/// A row of the tables of section 8 of the model specification.
struct VariantCounts {
  std::string variant;
  int64_t parameters[2];          ///< train, deploy
  int64_t macs_224[2];            ///< train, deploy
  double giga_macs_192[2];        ///< printed with four decimals
  double giga_macs_384[2];        ///< the same
  int64_t parameters_21841;       ///< train form with 21,841 classes
  int64_t feature_parameters[2];  ///< feature mode without its norms
};

// clang-format off
const std::vector<VariantCounts> kTable{
    {"a", {4'649'060, 4'437'300}, {674'684'480, 639'843'520},
     {0.4958, 0.4702}, {1.9818, 1.8794}, 11'339'021, {4'328'620, 4'116'860}},
    {"f", {6'489'328, 6'235'216}, {946'947'840, 905'138'688},
     {0.6959, 0.6652}, {2.7816, 2.6587}, 14'513'113, {6'105'000, 5'850'888}},
    {"p", {11'080'520, 10'741'704}, {1'628'801'024, 1'573'055'488},
     {1.1969, 1.1560}, {4.7848, 4.6209}, 21'771'953, {10'568'416, 10'229'600}},
    {"n", {18'818'880, 18'318'560}, {2'848'853'760, 2'766'502'400},
     {2.0934, 2.0329}, {8.3693, 8.1272}, 32'177'961, {18'179'000, 17'678'680}},
    {"t", {31'693'420, 31'037'980}, {5'003'516'800, 4'898'993'920},
     {3.6766, 3.5999}, {14.6999, 14.3927}, 45'052'501, {31'053'540, 30'398'100}},
    {"s", {56'456'704, 55'645'984}, {9'219'412'992, 9'093'985'536},
     {6.7744, 6.6823}, {27.0866, 26.7180}, 72'483'433, {55'689'048, 54'878'328}},
    {"b", {99'089'416, 98'008'456}, {16'224'446'464, 16'057'209'856},
     {11.9217, 11.7988}, {47.6679, 47.1764}, 120'451'441, {98'066'208, 96'985'248}},
    {"l", {220'076'056, 218'454'616}, {36'132'357'120, 35'881'502'208},
     {26.5498, 26.3655}, {106.1591, 105.4219}, 252'108'673, {218'541'744, 216'920'304}},
    {"xl", {388'690'984, 386'529'064}, {63'904'059'392, 63'569'586'176},
     {46.9560, 46.7103}, {187.7551, 186.7722}, 431'394'193, {386'645'568, 384'483'648}}};
// clang-format on

int64_t parameters_of_network(const UniRepLKNetOptions& options) {
  return count_parameters(*UniRepLKNet(options, at::TensorOptions(at::kMeta)));
}

double giga_macs(const UniRepLKNetOptions& options, int64_t size) {
  return static_cast<double>(count(options, size, size).macs) * 1e-9;
}

TEST_CASE("count: parameters and MACs of every variant are the published ones") {
  const auto row = GENERATE(from_range(kTable));
  const size_t form = GENERATE(size_t{0}, size_t{1});
  CAPTURE(row.variant, form);
  auto options = variant_options("unireplknet_" + row.variant);
  options.deploy = form == 1;
  CHECK(count(options, 224, 224).parameters == row.parameters[form]);
  CHECK(parameters_of_network(options) == row.parameters[form]);
  CHECK(count(options, 224, 224).macs == row.macs_224[form]);
  CHECK(giga_macs(options, 192) == Approx(row.giga_macs_192[form]).margin(0.5e-4).epsilon(0));
  CHECK(giga_macs(options, 384) == Approx(row.giga_macs_384[form]).margin(0.5e-4).epsilon(0));

  options.num_classes = 21841;
  const int64_t added_head = (21841 - 1000) * (options.dims[3] + 1);
  CHECK(parameters_of_network(options) == row.parameters[form] + added_head);
  if (form == 0) CHECK(parameters_of_network(options) == row.parameters_21841);

  for (const auto mode : {Mode::kFeatures, Mode::kTrunk}) {
    options.mode = mode;
    CHECK(count(options, 224, 224).parameters == parameters_of_network(options));
  }
  options.mode = Mode::kFeatures;
  CHECK(parameters_of_network(options) == row.feature_parameters[form]);
}

TEST_CASE("count: parameters of one block of each kind are those of the specification") {
  const auto [channels, kernel_size, train, deploy] = GENERATE(table<int64_t, int64_t, int64_t, int64_t>(
      {{40, 3, 14'690, 14'410}, {40, 0, 14'250, 14'010}, {80, 13, 78'420, 68'820}}));
  const nn::BlockOptions options{.channels = channels, .kernel_size = kernel_size};
  nn::Block block(options);
  CHECK(count_parameters(*block) == train);
  block->merge();
  CHECK(count_parameters(*block) == deploy);
}

TEST_CASE("layer_table: every row of a small network by hand") {
  const UniRepLKNetOptions options{.depths = {1, 1, 1, 1},
                                   .dims = {8, 8, 16, 16},
                                   .kernel_sizes = {{3}, {0}, {7}, {5}},
                                   .in_channels = 2,
                                   .num_classes = 5};
  const auto rows = layer_table(options, 33, 20);
  REQUIRE(rows.size() == 11);
  const auto check = [&](size_t i, const std::string& name, int64_t channels, int64_t height, int64_t width,
                         int64_t macs, int64_t receptive_field) {
    CAPTURE(name);
    CHECK(rows[i].name == name);
    CHECK(rows[i].channels == channels);
    CHECK(rows[i].height == height);
    CHECK(rows[i].width == width);
    CHECK(rows[i].macs == macs);
    CHECK(rows[i].receptive_field == receptive_field);
  };
  check(0, "downsample_layers.0.0", 4, 17, 10, 4 * 2 * 9 * 170, 3);
  check(1, "downsample_layers.0.3", 8, 9, 5, 8 * 4 * 9 * 45, 7);
  check(2, "stages.0.0", 8, 9, 5, (8 * 9 + 2 * 8 * 32) * 45 + 2 * 8 * 2, 7 + 2 * 4);
  check(3, "downsample_layers.1.0", 8, 5, 3, 8 * 8 * 9 * 15, 15 + 2 * 4);
  check(4, "stages.1.0", 8, 5, 3, 2 * 8 * 32 * 15 + 2 * 8 * 2, 23);
  check(5, "downsample_layers.2.0", 16, 3, 2, 16 * 8 * 9 * 6, 23 + 2 * 8);
  check(6, "stages.2.0", 16, 3, 2, (16 * (49 + 25 + 9 + 9) + 2 * 16 * 64) * 6 + 2 * 16 * 4, 39 + 6 * 16);
  check(7, "downsample_layers.3.0", 16, 2, 1, 16 * 16 * 9 * 2, 135 + 2 * 16);
  check(8, "stages.3.0", 16, 2, 1, (16 * 25 + 2 * 16 * 64) * 2 + 2 * 16 * 4, 167 + 4 * 32);
  check(9, "norm", 16, 1, 1, 0, 295);
  check(10, "head", 5, 1, 1, 16 * 5, 295);
  CHECK_THAT(rows[6].kind, Contains("7x7") && Contains("3 branches"));
}

TEST_CASE("layer_table: sizes of the maps are those a network makes") {
  const UniRepLKNetOptions options{
      .depths = {1, 1, 1, 1}, .dims = {8, 8, 8, 8}, .kernel_sizes = {{3}, {3}, {3}, {3}}, .mode = Mode::kTrunk};
  const int64_t height = GENERATE(1, 2, 31, 32, 33, 97), width = GENERATE(1, 64, 65);
  CAPTURE(height, width);
  UniRepLKNet network(options);
  const auto maps = network->stage_maps(at::zeros({1, 3, height, width}),
                                        [](size_t, nn::BlockImpl&, const at::Tensor& x) { return x; });
  const auto rows = layer_table(options, height, width);
  for (size_t s = 0; s < kStages; ++s) {
    const auto& row = rows[2 + 2 * s];
    CHECK(row.name == block_name(s, 0));
    CHECK(maps[s].sizes() == at::IntArrayRef{1, 8, row.height, row.width});
  }
}

}  // namespace
}  // namespace unireplk::models
