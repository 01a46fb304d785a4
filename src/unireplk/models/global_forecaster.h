#pragma once

#include <cstdint>
#include <vector>

#include "unireplk/models/correlation.h"
#include "unireplk/models/forecaster.h"

namespace unireplk::models {

/// How the last map becomes rows that the decoder attends to: its memory read row by row as it lies in NCHW, as the
/// published code does, or a row for each pixel.
enum class TokenOrder { kReinterpret, kSpatial };

/// What of the encoder reaches the decoder: its last map, the mean of it, or zeros, a control without an encoder.
enum class EncoderMemory { kMap, kPooled, kZero };

/// The forecaster of the paper's Global Temperature and Wind sets in plain numbers. Source: spec/time_series.md, part
/// A.
struct GlobalForecasterOptions {
  UniRepLKNetOptions backbone = {};
  int64_t channels = 3850;  ///< stations
  int64_t length = 48;
  int64_t label = 24;  ///< last rows of the window that the decoder begins with
  int64_t horizon = 24;
  int64_t marks = 4;
  std::vector<int64_t> tree{7, 50};  ///< nodes of each level within one of the level above
  int64_t width = 768;
  int64_t heads = 16;
  int64_t hidden = 2048;
  int64_t rows = 4;
  double dropout = 0.05;
  double causal_dropout = 0.2;
  TokenOrder token_order = TokenOrder::kReinterpret;
  EncoderMemory memory = EncoderMemory::kMap;

  int64_t nodes() const;
  int64_t group() const { return channels / nodes(); }  ///< stations of a node
  int64_t map_height() const { return rows * length; }
  int64_t map_width() const { return width / rows; }

  bool operator==(const GlobalForecasterOptions&) const = default;
};

/// \throws UserError when the numbers do not fit together.
GlobalForecasterOptions resolved(GlobalForecasterOptions options);

/// Value, calendar and place of each row, added.
struct StationEmbeddingImpl : torch::nn::Module {
  StationEmbeddingImpl(const GlobalForecasterOptions& options, at::TensorOptions tensor);

  /// \param x  [B * n, L, g];  \param marks  [B, L, F];  \param places  [n, 3g]. \return [B * n, L, width]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& marks, const at::Tensor& places);

  nn::CircularConv1d value{nullptr};
  nn::Linear time{nullptr}, place{nullptr};
};
TORCH_MODULE(StationEmbedding);

/// UniRepLKNet as the encoder of one layer of Corrformer's decoder.
///
/// A new network has unset weights: follow with initialise() or load_state_dict().
struct GlobalForecasterImpl : ForecasterImpl {
  explicit GlobalForecasterImpl(const GlobalForecasterOptions& options, at::TensorOptions tensor = {});

  at::Tensor map_of(const ForecastInput& input, const std::optional<at::Generator>& generator) override;
  at::Tensor forecast(const ForecastInput& input, const RunBackbone& run,
                      const std::optional<at::Generator>& generator) override;

  /// The same with the calendars apart. \param marks  [B, L, F];  \param ahead  of the label and the rows to forecast,
  /// [B, label + H, F].
  at::Tensor forecast(const at::Tensor& window, const at::Tensor& marks, const at::Tensor& ahead,
                      const RunBackbone& run, const std::optional<at::Generator>& generator);

  void initialise(at::Generator generator) override;
  bool draws() const override { return options_.dropout > 0 || options_.causal_dropout > 0; }

  /// Tell where stations lie: their coordinates, each column over all stations at mean 0 and deviation 1.
  /// \param places  [channels, 3]: latitude, longitude, elevation.
  void set_places(const at::Tensor& places);

  /// The last map [N, D, h, w] as rows for the decoder, [N, S, width].
  at::Tensor tokens(const at::Tensor& map) const;

  const GlobalForecasterOptions& options() const { return options_; }

  at::Tensor weight, bias;  ///< [g], of the normalisation
  at::Tensor places;        ///< buffer [n, 3g]
  StationEmbedding enc_embedding{nullptr}, dec_embedding{nullptr};
  CorrelationDecoder decoder{nullptr};
  nn::ChannelNorm norm{nullptr};
  nn::Linear head{nullptr};

 private:
  /// A window and what it was normalised by, each [B, 1, C], and [C] of the learned part.
  struct Normalised {
    at::Tensor x, mean, deviation, factor, offset;
  };

  Normalised normalised(const at::Tensor& window) const;
  at::Tensor embedded(StationEmbedding& embedding, const at::Tensor& rows, const at::Tensor& calendar,
                      const std::optional<at::Generator>& generator) const;
  at::Tensor encoder_map(const at::Tensor& x, const at::Tensor& marks, const std::optional<at::Generator>& generator);
  at::Tensor to_nodes(const at::Tensor& x) const;
  at::Tensor to_channels(const at::Tensor& x, int64_t windows) const;

  GlobalForecasterOptions options_;
};
TORCH_MODULE(GlobalForecaster);

}  // namespace unireplk::models
