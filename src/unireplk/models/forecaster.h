#pragma once

#include <ATen/core/Generator.h>

#include <functional>
#include <optional>

#include "unireplk/models/unireplknet.h"

namespace unireplk::models {

inline constexpr double kVarianceEps = 1e-5;  ///< under the root of a window's deviation
inline constexpr double kFactorEps = 1e-10;   ///< beside the factor that an inverse normalisation divides by

/// What a forecaster sees of a batch.
struct ForecastInput {
  at::Tensor window;  ///< [B, L, C], floating
  at::Tensor marks;   ///< [B, L + H, F], of the same dtype: the calendar of the window and of the rows to forecast
};

/// A network that forecasts rows of a table over time: an embedding, UniRepLKNet as a trunk on maps of one channel, and
/// something that makes rows of its last map.
struct ForecasterImpl : torch::nn::Module {
  /// How the last map [N, D, h, w] is made of the embedding's map [N, 1, H, W].
  using RunBackbone = std::function<at::Tensor(const at::Tensor& map)>;

  /// The rows behind the window, [B, H, C], in the window's units.
  /// \param generator  on the device of the window; needed in training with dropout or drop path, else unused.
  at::Tensor forward(const ForecastInput& input, std::optional<at::Generator> generator = std::nullopt);

  /// What the trunk sees of a batch, [N, 1, H, W].
  /// \param generator  for dropout; nothing: without.
  virtual at::Tensor map_of(const ForecastInput& input, const std::optional<at::Generator>& generator = {}) = 0;

  /// As forward(), with the trunk run by `run`: for the proof of a merge, and for experiments.
  virtual at::Tensor forecast(const ForecastInput& input, const RunBackbone& run,
                              const std::optional<at::Generator>& generator) = 0;

  /// Draw all weights.
  virtual void initialise(at::Generator generator) = 0;

  /// Whether training draws from the generator.
  virtual bool draws() const = 0;

  UniRepLKNet backbone{nullptr};  ///< trunk mode
};

/// \throws ContractError unless `window` is [B, length, channels]. \param forecaster  its name, for the message.
void check_window(const char* forecaster, const at::Tensor& window, int64_t length, int64_t channels);

/// Draw the weights of the value convolutions of an embedding: normal, by fan-in, gain sqrt(2).
void initialise_value(const at::Tensor& weight, at::Generator& generator);

}  // namespace unireplk::models
