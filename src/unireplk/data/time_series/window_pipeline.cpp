#include "unireplk/data/time_series/window_pipeline.h"

#include <ATen/ops/tensor.h>

#include <filesystem>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/data/time_series/calendar.h"
#include "unireplk/data/time_series/csv_windows.h"

namespace unireplk::data::time_series {
namespace {

constexpr int64_t kMostRows = 1 << 21;  // of a window: what a file says must not decide how much memory is taken

class WindowPipeline : public Pipeline {
 public:
  explicit WindowPipeline(DataInfo info) : info_(std::move(info)) {}

  Result<std::vector<Sample>> apply(const Record& record, const Draw&) const override {
    if (const auto* window = std::get_if<at::Tensor>(&record.payload)) {
      Sample sample{.fields = record.target, .key = record.key, .source = record.source};
      sample.fields["window"] = *window;
      return std::vector{std::move(sample)};
    }
    const auto* file = std::get_if<std::filesystem::path>(&record.payload);
    UNIREPLK_CHECK(file, "windows are cut from tensors or files");
    return as_result([&] { return std::vector{last_window(*file, record)}; });
  }

  DataInfo describe(DataInfo source) const override { return source; }

 private:
  int64_t rows(const char* field) const { return info_.find(field)->shape[0]; }

  const at::Tensor& constant(const std::string& name) const {
    const auto found = info_.constants.find(name);
    if (found != info_.constants.end()) return found->second;
    throw UserError({"predict", "these weights forecast no CSV file", "Use weights that were trained on csv_windows."});
  }

  Sample last_window(const std::filesystem::path& file, const Record& record) const {
    const Scaler scaler{.mean = constant("scaler_mean"), .std = constant("scaler_std")};
    const int64_t input = rows("window"), horizon = rows("future"), step = constant("step").item<int64_t>();
    const auto table = select_columns(read_csv_series(file), info_.series, file.string());
    const int64_t length = table.values.size(0);
    if (length < input) {
      throw UserError({file.string(), format("expected at least {} rows, got {}", input, length),
                       "Give as many rows as the network was trained to see."});
    }
    std::vector<int64_t> times(table.times.end() - input, table.times.end());
    for (int64_t i = 0; i < horizon; ++i) times.push_back(times.back() + step);
    const std::vector<int64_t> next(times.end() - horizon, times.end());
    const auto window = scaler.scaled(table.values.narrow(0, length - input, input)).to(at::kFloat);
    return {.fields = {{"window", window},
                       {"marks", calendar_marks(times, granularity_of(step))},
                       {"times", at::tensor(next, at::kLong)}},
            .key = record.key,
            .source = record.source};
  }

  DataInfo info_;
};

}  // namespace

std::unique_ptr<Pipeline> make_window_pipeline(const DataInfo& info) {
  for (const char* field : {"window", "future", "marks"}) {
    const auto* spec = info.find(field);
    if (spec && spec->shape.size() == 2 && spec->shape[0] > 0 && spec->shape[0] <= kMostRows) continue;
    throw UserError({"data.pipeline", format("the data have no windows: there is no field \"{}\"", field),
                     "Choose a source of windows, such as csv_windows."});
  }
  return std::make_unique<WindowPipeline>(info);
}

}  // namespace unireplk::data::time_series
