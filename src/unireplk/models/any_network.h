#pragma once

#include <memory>
#include <variant>

#include "unireplk/models/global_forecaster.h"
#include "unireplk/models/series_forecaster.h"
#include "unireplk/models/unireplknet.h"

namespace unireplk::models {

/// A whole network in plain numbers: a classifier is UniRepLKNet itself, others are built around it.
using NetworkOptions = std::variant<UniRepLKNetOptions, SeriesForecasterOptions, GlobalForecasterOptions>;

/// Options of the UniRepLKNet that is the whole or a part of it.
const UniRepLKNetOptions& backbone_options(const NetworkOptions& options);
UniRepLKNetOptions& backbone_options(NetworkOptions& options);

/// A network of any kind, as those handle it that do not run it.
class AnyNetwork {
 public:
  AnyNetwork() = default;
  AnyNetwork(UniRepLKNet network);  // NOLINT: implicit on purpose

  /// A new one, with unset weights. \throws UserError when the options do not fit together.
  explicit AnyNetwork(const NetworkOptions& options, at::TensorOptions tensor = {});

  bool is_empty() const { return !module_; }
  torch::nn::Module& operator*() const { return *module_; }
  torch::nn::Module* operator->() const { return module_.get(); }
  const std::shared_ptr<torch::nn::Module>& ptr() const { return module_; }

  /// The UniRepLKNet that it is or that is in it.
  const UniRepLKNet& backbone() const { return backbone_; }

  /// Null when it is the other.
  std::shared_ptr<UniRepLKNetImpl> classifier() const { return forecaster_ ? nullptr : backbone_.ptr(); }
  ForecasterImpl* forecaster() const { return forecaster_; }

  /// As they are now: deploy form once its blocks have been merged.
  NetworkOptions options() const;

 private:
  std::shared_ptr<torch::nn::Module> module_;
  UniRepLKNet backbone_{nullptr};
  ForecasterImpl* forecaster_ = nullptr;
  NetworkOptions options_;
};

}  // namespace unireplk::models
