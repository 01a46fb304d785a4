#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "unireplk/data/source.h"
#include "unireplk/data/time_series/splits.h"

namespace unireplk::data::time_series {

/// How the windows of a series are cut.
struct WindowShape {
  int64_t input = 96;    ///< rows that are seen
  int64_t horizon = 96;  ///< rows behind them, to forecast
  int64_t stride = 1;    ///< rows from one window to the next
};

/// Rows that the windows of each part lie in, and those of a series itself, each [T, targets] floating, scaled as the
/// series is: by them, forecasts that need no network are fitted and judged.
struct SeriesParts {
  at::Tensor train, validation, own;
};

/// Series ready to be cut: rows of one table over time.
struct WindowedSeries {
  std::string place;                        ///< the file, for messages
  std::vector<std::string> names;           ///< of the channels; those to forecast come last
  at::Tensor values;                        ///< [T, C] float32, contiguous
  at::Tensor marks;                         ///< [T, F] float32
  at::Tensor times;                         ///< [T] int64, seconds since 1970
  int64_t num_targets = 0;                  ///< channels to forecast, the last ones
  TensorMap constants;                      ///< of the data set, for DataInfo
  std::function<SeriesParts()> parts = {};  ///< empty where the other parts are not at hand; reads files
};

/// Every window of a series, `stride` rows apart: none is left out, whatever the batch size is.
///
/// Item i: payload = window [input, C]; targets `future` [horizon, num_targets], `marks` [input + horizon, F] and
/// `times` int64 [horizon], the stamps of `future`. All are views of the series.
class WindowSource : public Source {
 public:
  /// \throws ContractError when the series has fewer rows than one window.
  WindowSource(WindowedSeries series, WindowShape shape);

  int64_t size() const override { return (series_.values.size(0) - shape_.input - shape_.horizon) / shape_.stride + 1; }
  Result<Record> read(int64_t index) const override;
  SourceRef where(int64_t index) const override { return {.file = series_.place, .position = index * shape_.stride}; }
  DataInfo info() const override;

  const WindowedSeries& series() const { return series_; }
  const WindowShape& shape() const { return shape_; }

 private:
  WindowedSeries series_;
  WindowShape shape_;
};

/// The fields of windows: `window`, `future`, `marks`, `times`.
std::vector<FieldSpec> window_fields(const WindowShape& shape, int64_t channels, int64_t targets, int64_t marks);

}  // namespace unireplk::data::time_series
