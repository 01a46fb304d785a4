#pragma once

#include <cstdint>

#include "unireplk/models/forecaster.h"
#include "unireplk/nn/circular_conv1d.h"

namespace unireplk::models {

/// What is taken from each window before the network sees it, and given back to its forecast.
enum class WindowNormKind { kOff, kMean, kMeanStd, kLast };

/// What the last layer sees: the trunk's last map, or the window itself, normalised, a control without a network.
enum class SeenByHead { kMap, kWindow };

/// A forecaster in plain numbers. Source: spec/time_series.md, part C.
struct SeriesForecasterOptions {
  UniRepLKNetOptions backbone = {};
  int64_t channels = 1;
  int64_t length = 96;   ///< rows of a window
  int64_t horizon = 96;  ///< rows of a forecast
  int64_t marks = 4;     ///< numbers of the calendar
  int64_t group = 1;     ///< channels that share a map; zero channels fill the last group
  int64_t width = 128;   ///< of the embedding
  int64_t rows = 1;      ///< rows of the map for each row of the window
  double dropout = 0.1;  ///< of the embedding and before the head
  WindowNormKind window_norm = WindowNormKind::kMeanStd;
  bool affine = true;     ///< a factor and an offset for each channel, learned
  double least_std = 0;   ///< lower bound of a window's deviation
  double head_init = 1;   ///< factor of the head's first weights
  bool shuffled = false;  ///< rows of the window in an order drawn once: a control without time in the map
  SeenByHead seen = SeenByHead::kMap;

  int64_t nodes() const { return (channels + group - 1) / group; }
  int64_t map_height() const { return rows * length; }
  int64_t map_width() const { return width / rows; }
  int64_t features() const { return backbone.dims.at(backbone.num_stages() - 1); }  ///< of the trunk's last map

  bool operator==(const SeriesForecasterOptions&) const = default;
};

/// \throws UserError when width is no multiple of rows, or a number is out of range.
SeriesForecasterOptions resolved(SeriesForecasterOptions options);

/// Reversible normalisation of windows: each channel minus its mean (or its last value), over its deviation.
struct WindowNormImpl : torch::nn::Module {
  WindowNormImpl(const SeriesForecasterOptions& options, at::TensorOptions tensor);

  /// What one batch of windows was normalised by, [B, 1, C]; without a graph.
  struct Statistics {
    at::Tensor offset, scale;
  };

  Statistics measure(const at::Tensor& window) const;
  at::Tensor forward(const at::Tensor& window, const Statistics& statistics);
  at::Tensor inverse(const at::Tensor& forecast, const Statistics& statistics);

  at::Tensor weight, bias;  ///< [C], or undefined

 private:
  WindowNormKind kind_;
  double least_std_;
};
TORCH_MODULE(WindowNorm);

/// Value, calendar and node of each row, added.
struct SeriesEmbeddingImpl : torch::nn::Module {
  SeriesEmbeddingImpl(const SeriesForecasterOptions& options, at::TensorOptions tensor);

  /// \param x      [B * n, L, g];  \param marks  [B, L, F].
  /// \return [B * n, L, width]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& marks);

  nn::CircularConv1d value{nullptr};
  nn::Linear time{nullptr};
  std::shared_ptr<torch::nn::Module> node;  ///< holds `weight` [n, width]
  at::Tensor node_weight;
};
TORCH_MODULE(SeriesEmbedding);

/// Rows as maps of UniRepLKNet: every group of channels of every window is one map of rows * L x width / rows, whose
/// last map, normalised and averaged over its width, a linear layer turns to a forecast. The last map is that of the
/// last stage of the backbone's options: of three, it has twice the resolution.
///
/// A new network has unset weights: follow with initialise() or load_state_dict().
struct SeriesForecasterImpl : ForecasterImpl {
  explicit SeriesForecasterImpl(const SeriesForecasterOptions& options, at::TensorOptions tensor = {});

  at::Tensor map_of(const ForecastInput& input, const std::optional<at::Generator>& generator) override;
  at::Tensor forecast(const ForecastInput& input, const RunBackbone& run,
                      const std::optional<at::Generator>& generator) override;
  void initialise(at::Generator generator) override;
  bool draws() const override { return options_.dropout > 0; }

  const SeriesForecasterOptions& options() const { return options_; }

  WindowNorm window_norm{nullptr};
  SeriesEmbedding embedding{nullptr};
  at::Tensor order;               ///< buffer int64 [L]: which row comes when; undefined unless shuffled
  nn::ChannelNorm norm{nullptr};  ///< where the head sees the map
  nn::Linear head{nullptr};       ///< rows of its weight: step by step, the channels of the group within a step

 private:
  at::Tensor to_nodes(const at::Tensor& x) const;
  at::Tensor map_of_nodes(const at::Tensor& x, const at::Tensor& marks, const std::optional<at::Generator>& generator);
  at::Tensor to_channels(const at::Tensor& rows, int64_t windows) const;

  SeriesForecasterOptions options_;
};
TORCH_MODULE(SeriesForecaster);

}  // namespace unireplk::models
