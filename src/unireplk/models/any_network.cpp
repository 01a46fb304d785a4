#include "unireplk/models/any_network.h"

#include <type_traits>
#include <utility>

namespace unireplk::models {
namespace {

template <class Options>
auto& backbone_of(Options& options) {
  return std::visit(
      [](auto& of_kind) -> auto& {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(of_kind)>, UniRepLKNetOptions>) {
          return of_kind;
        } else {
          return of_kind.backbone;
        }
      },
      options);
}

std::shared_ptr<ForecasterImpl> build(const SeriesForecasterOptions& options, at::TensorOptions tensor) {
  return std::make_shared<SeriesForecasterImpl>(options, tensor);
}

std::shared_ptr<ForecasterImpl> build(const GlobalForecasterOptions& options, at::TensorOptions tensor) {
  return std::make_shared<GlobalForecasterImpl>(options, tensor);
}

}  // namespace

const UniRepLKNetOptions& backbone_options(const NetworkOptions& options) { return backbone_of(options); }
UniRepLKNetOptions& backbone_options(NetworkOptions& options) { return backbone_of(options); }

AnyNetwork::AnyNetwork(UniRepLKNet network)
    : module_(network.ptr()), backbone_(std::move(network)), options_(backbone_->options()) {}

AnyNetwork::AnyNetwork(const NetworkOptions& options, at::TensorOptions tensor) : options_(options) {
  std::visit(
      [&](const auto& of_kind) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(of_kind)>, UniRepLKNetOptions>) {
          backbone_ = UniRepLKNet(of_kind, tensor);
          module_ = backbone_.ptr();
        } else {
          auto network = build(of_kind, tensor);
          forecaster_ = network.get();
          backbone_ = network->backbone;
          module_ = std::move(network);
        }
      },
      options);
}

NetworkOptions AnyNetwork::options() const {
  auto options = options_;
  backbone_options(options) = backbone_->options();
  return options;
}

}  // namespace unireplk::models
