#include <algorithm>
#include <fstream>

#include "unireplk/data/time_series/csv_windows.h"
#include "unireplk/runner/looks.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;
namespace time_series = data::time_series;

/// Whether the first column of a CSV file is named `date`.
bool is_table_over_time(const fs::path& file) {
  if (file.extension() != ".csv" || !fs::is_regular_file(file)) return false;
  std::ifstream stream(file);
  std::string begin(5, '\0');
  stream.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return begin == "date,";
}

/// Rows of a window and to forecast: the usual 96 of each, fewer where the parts of a short table would hold none.
int64_t window_of(int64_t rows) {
  constexpr int64_t kUsual = 96;
  return std::clamp<int64_t>(rows / 50, 1, kUsual);
}

time_series::CsvWindowsConfig windows_of(const fs::path& file, int64_t window, data::SplitPart part) {
  return {.file = file, .part = part, .input = window, .horizon = window};
}

Draft draft_time_series(const fs::path& file, const Wishes&) {
  const auto table = time_series::read_csv_series(file);
  const auto rows = static_cast<int64_t>(table.times.size());
  const int64_t window = window_of(rows);
  const auto train = time_series::make_csv_windows(windows_of(file, window, data::SplitPart::kTrain));
  time_series::make_csv_windows(windows_of(file, window, data::SplitPart::kValidation));
  const auto set = [&](const char* part) {
    return format("{{name: csv_windows, file: {}, split: ratio, part: {}, input: {}, horizon: {}}}",
                  quoted(file.string()), part, window, window);
  };
  const auto channels = std::ssize(table.names);
  Draft draft{
      .data = format("  train: {}\n  validation: {}\n  pipeline: {{name: windows}}\n", set("train"), set("validation")),
      .task = "{name: forecasting}",
      .head = "forecaster",
      .items = train->size()};
  draft.counts = {{"windows", draft.items}, {"channels", channels}, {"rows", rows}};
  draft.found = format("{} windows of {} channels to train with, {} rows to forecast from {}", draft.items, channels,
                       window, window);
  draft.validation = "10% of the rows for validation, 20% kept for a test";
  return draft;
}

}  // namespace

Look look_at_time_series() {
  return {.files = "a CSV table whose first column is `date`", .knows = is_table_over_time, .draft = draft_time_series};
}

}  // namespace unireplk::runner
