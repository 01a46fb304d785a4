#include "unireplk/data/time_series/csv_windows.h"

#include <ATen/ATen.h>

#include <fstream>
#include <set>

#include "support/catch.h"
#include "support/temporary_folder.h"
#include "unireplk/core/error.h"
#include "unireplk/data/loader.h"
#include "unireplk/data/time_series/window_pipeline.h"
#include "unireplk/formats/timestamp.h"

namespace unireplk::data::time_series {
namespace {

using Catch::Matchers::Contains;

constexpr const char* kEtth1 = "examples/data/etth1/ETTh1.csv";

CsvWindowsConfig etth1(SplitPart part, int64_t input, int64_t horizon) {
  return {.file = kEtth1, .split = SplitKind::kEtth, .part = part, .input = input, .horizon = horizon};
}

/// A table of `rows` hours and two channels: 1000 + row, and a constant.
std::filesystem::path write_table(const test::TemporaryFolder& folder, int64_t rows) {
  const auto path = folder / "table.csv";
  std::ofstream file(path);
  file << "date,ramp,flat\n";
  for (int64_t i = 0; i < rows; ++i) {
    file << formats::timestamp_text(1467331200 + 3600 * i) << ',' << 1000 + i << ",7\n";
  }
  return path;
}

Dataset dataset_of(const CsvWindowsConfig& config) {
  std::shared_ptr<const Source> source = make_csv_windows(config);
  return make_dataset(source, make_window_pipeline(source->info()));
}

void check_near(const at::Tensor& actual, const std::vector<double>& expected, double margin) {
  REQUIRE(actual.numel() == static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(actual[static_cast<int64_t>(i)].item<double>() == Approx(expected[i]).margin(margin));
  }
}

}  // namespace

TEST_CASE("csv_windows: windows of every part of ETTh1 at every horizon") {
  const auto [horizon, tests] = GENERATE(table<int64_t, int64_t>({{96, 2785}, {192, 2689}, {336, 2545}, {720, 2161}}));
  const auto input = GENERATE(96, 336);
  CHECK(make_csv_windows(etth1(SplitPart::kTest, input, horizon))->size() == tests);
  if (horizon != 96) return;
  CHECK(make_csv_windows(etth1(SplitPart::kTrain, input, horizon))->size() == (input == 96 ? 8449 : 8209));
  CHECK(make_csv_windows(etth1(SplitPart::kValidation, input, horizon))->size() == 2785);
}

TEST_CASE("csv_windows: values of ETTh1 are scaled by their training rows") {
  const auto source = make_csv_windows(etth1(SplitPart::kTrain, 96, 96));
  const auto info = source->info();
  CHECK(info.series == std::vector<std::string>{"HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"});
  check_near(info.constants.at("scaler_mean"), {7.93774, 2.02104, 5.07977, 0.74619, 2.78176, 0.78845, 17.12826}, 5e-6);
  check_near(info.constants.at("scaler_std"), {5.81275, 2.09010, 5.51879, 1.92638, 1.02352, 0.63024, 9.17649}, 5e-6);
  const auto first = source->read(0);
  check_near(std::get<at::Tensor>(first->payload)[0],
             {-0.36312, -0.00576, -0.63071, -0.14752, 1.38857, 0.87514, 1.46055}, 5e-6);
  const auto test = make_csv_windows(etth1(SplitPart::kTest, 336, 96))->read(0);
  check_near(test->target.at("future")[0], {0.35134, 0.69947, 0.46391, 0.55327, -0.39644, 0.24681, -0.86234}, 5e-6);
  CHECK(formats::timestamp_text(test->target.at("times")[0].item<int64_t>()) == "2017-10-24 00:00:00");
}

TEST_CASE("csv_windows: the parts of other tables, and what lies in a window") {
  const test::TemporaryFolder folder;
  const auto file = write_table(folder, 101);  // 70 to train, 20 to test, 11 between
  const auto windows = [&](SplitPart part) {
    return make_csv_windows({.file = file, .split = SplitKind::kRatio, .part = part, .input = 8, .horizon = 4});
  };
  CHECK(windows(SplitPart::kTrain)->size() == 70 - 8 - 4 + 1);
  CHECK(windows(SplitPart::kValidation)->size() == 11 - 4 + 1);
  CHECK(windows(SplitPart::kTest)->size() == 20 - 4 + 1);
  const auto source = windows(SplitPart::kTest);
  const auto info = source->info();
  const auto record = source->read(3);
  const auto unscaled = [&](const at::Tensor& x) {
    return (x.to(at::kDouble) * info.constants.at("scaler_std") + info.constants.at("scaler_mean")).select(1, 0);
  };
  check_near(unscaled(std::get<at::Tensor>(record->payload)), {1076, 1077, 1078, 1079, 1080, 1081, 1082, 1083}, 1e-3);
  check_near(unscaled(record->target.at("future")), {1084, 1085, 1086, 1087}, 1e-3);
  CHECK(info.constants.at("scaler_std")[1].item<double>() == 1);  // a channel that never changes
  CHECK(std::get<at::Tensor>(record->payload).select(1, 1).abs().max().item<double>() == 0);
  CHECK(record->target.at("marks").sizes() == at::IntArrayRef({12, 4}));
}

TEST_CASE("splits: floors of the shares are those of whole numbers") {
  CHECK(splits_of(SplitKind::kRatio, 52696, "").train == RowRange{0, 36887});
  CHECK(splits_of(SplitKind::kRatio, 52696, "").validation == RowRange{36887, 42157});
  CHECK(splits_of(SplitKind::kRatio, 52696, "").test == RowRange{42157, 52696});
  CHECK(splits_of(SplitKind::kRatio, 10, "").train == RowRange{0, 7});
  CHECK(splits_of(SplitKind::kEttm, 69680, "").test == RowRange{46080, 57600});
  const auto count = [](int64_t rows, SplitPart part, int64_t horizon) {
    const auto splits = splits_of(SplitKind::kRatio, rows, "");
    return window_rows(splits, part, 336, horizon, "").size() - 336 - horizon + 1;
  };
  CHECK(count(52696, SplitPart::kTrain, 96) == 36456);  // Weather
  CHECK(count(52696, SplitPart::kValidation, 96) == 5175);
  CHECK(count(52696, SplitPart::kTest, 720) == 9820);
  CHECK(count(26304, SplitPart::kTest, 96) == 5165);   // Electricity
  CHECK(count(17544, SplitPart::kTest, 336) == 3173);  // Traffic
}

TEST_CASE("csv_windows: all channels, the target alone, or all to forecast the target") {
  const test::TemporaryFolder folder;
  CsvWindowsConfig config{.file = write_table(folder, 101), .part = SplitPart::kTrain, .input = 8, .horizon = 4};
  config.target = "ramp";
  config.channels = Channels::kTarget;
  CHECK(make_csv_windows(config)->info().series == std::vector<std::string>{"ramp"});
  config.channels = Channels::kAllToTarget;
  const auto info = make_csv_windows(config)->info();
  CHECK(info.series == std::vector<std::string>{"flat", "ramp"});
  CHECK(info.find("window")->shape == std::vector<int64_t>{8, 2});
  CHECK(info.find("future")->shape == std::vector<int64_t>{4, 1});
}

TEST_CASE("csv_windows: the loader gives every window once, whatever the batch") {
  const auto batch = GENERATE(1, 7, 32, 512);
  const test::TemporaryFolder folder;
  const auto dataset =
      dataset_of({.file = write_table(folder, 1000), .part = SplitPart::kTest, .input = 8, .horizon = 4});
  const auto sampler = sequential_sampler(dataset.size(), batch);
  Loader loader(dataset, *sampler, Mode::kEvaluation, {.batch_size = batch, .workers = 1}, Context{});
  std::set<int64_t> seen;
  int64_t count = 0;
  loader.start(0);
  while (const auto next = loader.next()) {
    for (const auto& key : next->keys) {
      if (key.padding) continue;
      seen.insert(key.item);
      ++count;
    }
  }
  CHECK(count == 200 - 4 + 1);
  CHECK(std::ssize(seen) == count);
}

TEST_CASE("csv_windows: windows of training may lie further apart") {
  const test::TemporaryFolder folder;
  CsvWindowsConfig config{.file = write_table(folder, 101), .part = SplitPart::kTrain, .input = 8, .horizon = 4};
  const auto all = make_csv_windows(config);
  config.stride = 4;
  const auto some = make_csv_windows(config);
  CHECK(some->size() == 15);  // of 59
  CHECK(at::equal(std::get<at::Tensor>(some->read(14)->payload), std::get<at::Tensor>(all->read(56)->payload)));
  CHECK(at::equal(some->read(14)->target.at("future"), all->read(56)->target.at("future")));
}

TEST_CASE("csv_windows: tables that are too short and targets that are not there are refused") {
  const test::TemporaryFolder folder;
  const auto file = write_table(folder, 101);
  CsvWindowsConfig config{.file = file, .part = SplitPart::kTrain, .input = 8, .horizon = 4};
  SECTION("target") {
    config.target = "slope";
    CHECK_THROWS_WITH(make_csv_windows(config),
                      Contains("no column \"slope\" to forecast. The columns are ramp, flat."));
  }
  SECTION("kind") {
    config.split = SplitKind::kEtth;
    CHECK_THROWS_WITH(make_csv_windows(config), Contains("expected at least 14400 rows") && Contains("got 101"));
  }
  SECTION("training") {
    config.input = 67;
    CHECK_THROWS_WITH(make_csv_windows(config), Contains("expected at least 71 rows") && Contains("got 70"));
  }
  SECTION("look-back") {
    config.part = SplitPart::kValidation;
    config.input = 71;
    CHECK_THROWS_WITH(make_csv_windows(config), Contains("behind 70 rows"));
  }
}

TEST_CASE("windows: a CSV file becomes its last window, its columns found by name") {
  const test::TemporaryFolder folder;
  const auto dataset =
      dataset_of({.file = write_table(folder, 101), .part = SplitPart::kTrain, .input = 4, .horizon = 2});
  const auto path = folder / "new.csv";
  std::ofstream(path) << "date,flat,other,ramp\n2020/1/1 20:00,7,0,1\n2020/1/1 21:00,7,0,1034.5\n2020/1/1 22:00,7,0,3\n"
                         "2020/1/1 23:00,7,0,4\n2020/1/2 0:00,7,0,5\n";
  const auto samples = dataset.pipeline->apply({.payload = path, .target = {}, .key = {}, .source = {}}, Draw{});
  REQUIRE(samples);
  const auto& fields = samples->front().fields;
  CHECK(fields.at("window").sizes() == at::IntArrayRef({4, 2}));
  CHECK(fields.at("window")[0][0].item<double>() == Approx(0).margin(1e-6));  // 1034.5 is the mean of the training rows
  CHECK(formats::timestamp_text(fields.at("times")[1].item<int64_t>()) == "2020-01-02 02:00:00");
  CHECK(fields.at("marks").sizes() == at::IntArrayRef({6, 4}));

  std::ofstream(path) << "date,flat\n2020/1/1 20:00,7\n";
  const auto missing = dataset.pipeline->apply({.payload = path, .target = {}, .key = {}, .source = {}}, Draw{});
  REQUIRE_FALSE(missing);
  CHECK_THAT(missing.problem().text(), Contains("no column \"ramp\""));
  std::ofstream(path) << "date,flat,ramp\n2020/1/1 20:00,7,1\n";
  const auto brief = dataset.pipeline->apply({.payload = path, .target = {}, .key = {}, .source = {}}, Draw{});
  REQUIRE_FALSE(brief);
  CHECK_THAT(brief.problem().text(), Contains("expected at least 4 rows, got 1"));
}

}  // namespace unireplk::data::time_series
