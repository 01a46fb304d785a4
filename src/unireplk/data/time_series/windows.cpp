#include "unireplk/data/time_series/windows.h"

#include <utility>

#include "unireplk/core/error.h"

namespace unireplk::data::time_series {

WindowSource::WindowSource(WindowedSeries series, WindowShape shape) : series_(std::move(series)), shape_(shape) {
  UNIREPLK_CHECK(series_.values.size(0) >= shape.input + shape.horizon, "windows of {} + {} rows do not fit into {}",
                 shape.input, shape.horizon, series_.values.size(0));
}

Result<Record> WindowSource::read(int64_t index) const {
  const int64_t first = index * shape_.stride, first_future = first + shape_.input;
  const int64_t channels = series_.values.size(1);
  const at::Tensor future = series_.values.narrow(0, first_future, shape_.horizon)
                                .narrow(1, channels - series_.num_targets, series_.num_targets);
  return Record{.payload = series_.values.narrow(0, first, shape_.input),
                .target = {{"future", future},
                           {"marks", series_.marks.narrow(0, first, shape_.input + shape_.horizon)},
                           {"times", series_.times.narrow(0, first_future, shape_.horizon)}},
                .key = {.item = index},
                .source = where(index)};
}

DataInfo WindowSource::info() const {
  DataInfo info;
  info.fields = window_fields(shape_, series_.values.size(1), series_.num_targets, series_.marks.size(1));
  info.series = series_.names;
  info.constants = series_.constants;
  return info;
}

std::vector<FieldSpec> window_fields(const WindowShape& shape, int64_t channels, int64_t targets, int64_t marks) {
  return {{.name = "window", .shape = {shape.input, channels}, .meaning = "scaled rows before the forecast"},
          {.name = "future", .shape = {shape.horizon, targets}, .meaning = "scaled rows to forecast"},
          {.name = "marks", .shape = {shape.input + shape.horizon, marks}, .meaning = "calendar of both, -0.5..0.5"},
          {.name = "times", .dtype = at::kLong, .shape = {shape.horizon}, .meaning = "seconds since 1970 of `future`"}};
}

}  // namespace unireplk::data::time_series
