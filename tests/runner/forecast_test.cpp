#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>

#include "runner/runs.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"
#include "unireplk/core/format.h"
#include "unireplk/data/image/decode.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

constexpr const char* kSeries = "tests/fixtures/series.yaml";
constexpr const char* kTable = "examples/data/etth1/ETTh1.csv";

std::string told_by(const std::vector<std::string>& arguments, int exit_code) {
  const auto finished = unireplk(arguments);
  INFO(finished.err);
  REQUIRE(finished.exit_code == exit_code);
  return finished.err;
}

int64_t count_of(const std::string& word, const std::string& text) {
  int64_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

int64_t count_lines_in(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

/// An array in version 1 of the format.
void write_npy(const fs::path& path, const std::string& type, const std::string& shape, const std::string& bytes) {
  std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(header.size() & 255)
       << static_cast<char>(header.size() >> 8) << header << bytes;
}

template <class Value>
std::string bytes_of_values(const std::vector<Value>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value)};
}

/// Texts of 19 characters as NumPy has them.
std::string wide(const std::string& text) {
  std::string bytes;
  for (const char c : text) bytes += c + std::string(3, '\0');
  return bytes;
}

/// Hours of 42 stations: daily waves of a phase that grows with the station, in tenths.
void write_part(const fs::path& folder, const std::string& part, int hours, int first) {
  std::vector<double> values;
  std::string stamps;
  for (int hour = first; hour < first + hours; ++hour) {
    for (int station = 0; station < 42; ++station) values.push_back(100 + 50 * std::sin(hour * 0.26 + station * 0.1));
    stamps += wide(format("2019-01-{:02} {:02}:00:00", 1 + hour / 24, hour % 24));
  }
  const auto rows = std::to_string(hours);
  write_npy(folder / ("wind_global_hourly_" + part + ".npy"), "<f8", "(" + rows + ", 42, 1)", bytes_of_values(values));
  write_npy(folder / ("data_time_" + part + ".npy"), "<U19", "(" + rows + ",)", stamps);
}

void write_stations(const fs::path& folder) {
  fs::create_directories(folder);
  write_part(folder, "train", 60, 0);
  write_part(folder, "val", 30, 60);
  std::vector<double> places;
  for (int i = 0; i < 42; ++i) places.insert(places.end(), {i * 2.0 - 40, i * 8.0 - 160, 10.0 * (i % 5)});
  write_npy(folder / "stations_sorted.npy", "<f8", "(42, 3)", bytes_of_values(places));
}

}  // namespace

TEST_CASE("forecast: train, evaluate beside baselines, export, evaluate and predict from the deploy file",
          "[numeric]") {
  const TemporaryFolder folder;
  const auto deploy = (folder / "deploy.safetensors").string();
  const auto log = told_by({"train", kSeries, "output=" + folder.path().string(), "train.max_steps=60"}, 0);
  CHECK_THAT(log, Contains("beside it, repeat: mse") && Contains("daily: mse") && Contains("ridge (") &&
                      Contains(" times), mae"));
  const auto run = (folder / "series").string();

  const auto evaluated = json_line({"eval", run, "--json"});
  CHECK(evaluated["samples"] == 2880 - 24 + 1);
  CHECK(evaluated["mse_12"] < evaluated["mse"]);
  CHECK(evaluated["baselines"]["repeat"]["mse"] > evaluated["mse"]);
  CHECK(evaluated["baselines"].size() == 3);
  CHECK(evaluated["baselines"]["daily"]["mae_12"] > 0);
  CHECK(evaluated["ratios"]["repeat"]["mse"].get<double>() ==
        Approx(evaluated["mse"].get<double>() / evaluated["baselines"]["repeat"]["mse"].get<double>()));
  CHECK(json_line({"eval", run, "--form", "deploy", "--json"})["mse"].get<double>() ==
        Approx(evaluated["mse"].get<double>()).epsilon(1e-4));

  const auto exported = json_line({"export", run, "--output", deploy, "--json"});
  CHECK(exported["blocks"] == 4);
  CHECK(exported["worst_f64"] < 1e-9);
  CHECK(exported["worst_f32"] < 1e-5);
  CHECK(exported["logits_difference"] < 1e-4);
  const auto deployed =
      json_line({"eval", deploy, "--json", "data.validation.name=csv_windows",
                 std::string("data.validation.file=") + kTable, "data.validation.split=etth",
                 "data.validation.part=validation", "data.validation.input=48", "data.validation.horizon=24"});
  CHECK(deployed["mse"].get<double>() == Approx(evaluated["mse"].get<double>()).epsilon(1e-4));

  const auto without = (folder / "without.safetensors").string();
  const auto gone = json_line({"export", run, "--output", without, "--json", "data.validation.file=no/such.csv"});
  CHECK(gone["compared_on"] == "random input");
  CHECK(gone["worst_f64"] < 1e-9);

  fs::remove_all(run);
  const auto predicted = unireplk({"predict", deploy, kTable});
  CHECK(unireplk({"predict", without, kTable}).out == predicted.out);
  CHECK(predicted.exit_code == 0);
  CHECK_THAT(predicted.out, Contains("date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT\n2018-06-26 20:00:00,"));
  CHECK(count_lines_in(predicted.out) == 25);
  const auto two = unireplk({"predict", deploy, kTable, kTable});
  CHECK(two.out == std::string(kTable) + "\n" + predicted.out + kTable + "\n" + predicted.out);
  const auto line = json_line({"predict", deploy, kTable, "--json"});
  CHECK(line["rows"].size() == 24);
  CHECK(line["rows"][0]["values"].size() == 7);
}

TEST_CASE("forecast: no kill changes a byte of a run", "[numeric]") {
  const TemporaryFolder folder;
  told_by({"verify-resume", kSeries, "--kills", "2", "output=" + folder.path().string(), "train.max_steps=20",
           "train.checkpoint.every_steps=4", "task.baselines=[]"},
          0);
}

TEST_CASE("forecast: stations in a tree train end to end", "[numeric]") {
  const TemporaryFolder folder;
  write_stations(folder / "wind");
  const auto wind = (folder / "wind").string();
  const auto run = (folder / "stations").string();
  told_by({"train", "tests/fixtures/stations.yaml", "output=" + folder.path().string(), "data.train.folder=" + wind,
           "data.validation.folder=" + wind},
          0);
  const auto evaluated = json_line({"eval", run, "--json"});
  CHECK(evaluated["samples"] == 30 - 18 + 1);
  CHECK(evaluated["mse"] > 0);
  CHECK(evaluated["mse"] < 100);  // tenths squared over 100
  const auto baselines = evaluated["baselines"];
  CHECK(baselines.size() == 3);  // no day fits into twelve hours
  CHECK(baselines["dlinear"]["mse"] > 0);
  for (const auto& [name, metrics] : baselines.items()) {
    if (name.starts_with("ridge")) CHECK(metrics["mse"] < baselines["repeat"]["mse"]);
  }
  const auto deploy = (folder / "deploy.safetensors").string();
  CHECK(json_line({"export", run, "--output", deploy, "--json"})["worst_f64"] < 1e-9);
  const auto deployed =
      json_line({"eval", deploy, "--json", "data.validation.name=global_weather", "data.validation.folder=" + wind,
                 "data.validation.values=wind_global_hourly", "data.validation.part=validation",
                 "data.validation.input=12", "data.validation.horizon=6"});
  CHECK(deployed["mse"].get<double>() == Approx(evaluated["mse"].get<double>()).epsilon(1e-4));
  CHECK_THAT(told_by({"predict", deploy, kTable}, 2), Contains("forecast no CSV file"));

  fs::create_directories(folder / "moved");
  for (const auto& entry : fs::directory_iterator(wind)) {
    if (entry.path().filename().string().find("train") == std::string::npos)
      fs::copy(entry.path(), folder / "moved" / entry.path().filename());
  }
  CHECK_THAT(told_by({"eval", run, "data.validation.folder=" + (folder / "moved").string()}, 0),
             Contains("ridge and dlinear are left out: the training and validation rows beside"));
}

TEST_CASE("forecast: what is wrong with the hours of stations is told with its place") {
  const TemporaryFolder folder;
  const auto wind = folder / "wind";
  write_stations(wind);
  const auto refused = [&] {
    return told_by({"train", "tests/fixtures/stations.yaml", "output=" + folder.path().string(),
                    "data.train.folder=" + wind.string(), "data.validation.folder=" + wind.string()},
                   2);
  };
  std::string still;
  for (int i = 0; i < 60; ++i) still += wide("2019-01-01 00:00:00");
  write_npy(wind / "data_time_train.npy", "<U19", "(60,)", still);
  CHECK_THAT(refused(),
             Contains("data_time_train.npy: expected hours in the order of time, got stamps that do not rise"));
  write_npy(wind / "wind_global_hourly_train.npy", "<f8", "(60, 42, 1)",
            bytes_of_values(std::vector<double>(60 * 42, std::nan(""))));
  CHECK_THAT(refused(), Contains("wind_global_hourly_train.npy: expected numbers, got nan in row 0, station 0"));
  write_npy(wind / "wind_global_hourly_train.npy", "<f8", "(9, 42, 1)",
            bytes_of_values(std::vector<double>(9 * 42, 1.0)));
  CHECK_THAT(refused(), Contains("wind_global_hourly_train.npy: expected at least 18 rows for a window, got 9"));
}

TEST_CASE("forecast: pictures of windows are the maps that a network makes of them", "[numeric]") {
  const TemporaryFolder folder;
  const auto written = json_line({"inspect", kSeries, "--sample", folder.path().string(), "--count", "3",
                                  "model.head.group=3", "model.head.rows=2", "--json"});
  CHECK(written["samples"] == 3);
  CHECK(written["images"][0] == (folder / "embedding.png").string());
  const auto bytes = content(folder / "embedding.png");
  const auto seen = data::image::decode(std::as_bytes(std::span(bytes)), 3, "embedding.png").value_or_throw();
  const int64_t width = 3 * 24 + 4 * 2, height = 2 * 48 + 2 * 2;  // three groups side by side, white around them
  CHECK(seen.width == 2 * (width + 2) + 2);
  CHECK(seen.height == 2 * (height + 2) + 2);
  CHECK(count_lines_in(content(folder / "samples.txt")) == 3);
}

TEST_CASE("forecast: influenza trains with baselines beside it", "[numeric]") {
  const auto table = test_data("timeseries/illness/national_illness.csv");
  if (!table) return;
  const TemporaryFolder folder;
  const auto file = ".file=" + table->string();
  const auto log = told_by({"train", "configs/time_series/ili.yaml", "output=" + folder.path().string(), "device=cpu",
                            "data.train" + file, "data.validation" + file, "data.test" + file, "model.head.group=7",
                            "train.max_steps=2", "train.schedule.warmup_epochs=0"},
                           0);
  for (const char* name : {"repeat: mse", "ridge (", "dlinear: mse"}) {
    INFO(name);
    CHECK(count_of(name, log) == 2);  // behind the validation and behind the test
  }
  CHECK_THAT(log, !Contains("daily"));  // rows are weeks
}

TEST_CASE("series with classes train with baselines beside them", "[numeric]") {
  const auto series = test_data("timeseries/uea_npy/EP");
  if (!series) return;
  const TemporaryFolder folder;
  std::vector<std::string> arguments{"train",
                                     "configs/time_series/epilepsy.yaml",
                                     "output=" + folder.path().string(),
                                     "device=cpu",
                                     "data.pipeline.size=[24, 104]",
                                     "train.max_steps=2",
                                     "train.schedule.warmup_epochs=0"};
  for (const auto& [set, part] : {std::pair("train", "train"), std::pair("validation", "test")}) {
    for (const auto& [key, suffix] : {std::pair("inputs", "d"), std::pair("targets", "l")}) {
      arguments.push_back(format("data.{}.{}={}/{}_{}.npy", set, key, series->string(), part, suffix));
    }
  }
  CHECK_THAT(told_by(arguments, 0), Contains("beside it, majority (") && Contains("beside it, ridge ("));
  const auto evaluated = json_line({"eval", (folder / "epilepsy").string(), "--json"});
  CHECK(evaluated["samples"] == 138);
  double majority = 0, ridge = 0;
  for (const auto& [name, metrics] : evaluated["baselines"].items()) {
    (name.starts_with("ridge") ? ridge : majority) = metrics["top1"].get<double>();
  }
  CHECK(majority == Approx(100.0 * 37 / 138).margin(0.01));
  CHECK(ridge > majority);
}

TEST_CASE("forecast: what does not belong together is refused with a cure", "[numeric]") {
  const TemporaryFolder folder;
  const auto output = "output=" + folder.path().string();
  CHECK_THAT(told_by({"train", kSeries, output, "data.train.horizon=48"}, 2),
             Contains("data.validation: expected the field \"future\" to be [48, 7], as in training, got [24, 7]"));
  CHECK_THAT(told_by({"train", kSeries, output, "model.head.rows=5"}, 2),
             Contains("model.head.width: expected a multiple of rows = 5"));
  CHECK_THAT(told_by({"train", kSeries, output, "task={name: classification}"}, 2),
             Contains("task.name: expected forecasting, as model.head forecasts, got classification"));
  std::ofstream(folder / "bad.csv") << "date,a\n2016-07-01,1\n2016-07-02,nan\n";
  CHECK_THAT(told_by({"train", kSeries, output, "data.train.file=" + (folder / "bad.csv").string()}, 2),
             Contains("bad.csv:3:12: expected a number in column \"a\", got \"nan\""));
}

}  // namespace unireplk::test
