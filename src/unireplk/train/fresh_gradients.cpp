#include "unireplk/train/fresh_gradients.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>

#include <map>
#include <utility>

#include "unireplk/train/fused.h"

namespace unireplk::train {

FreshGradients::FreshGradients(const std::vector<at::Tensor>& parameters) : parameters_(parameters) {
  for (const auto& parameter : parameters_) kept_.push_back(std::exchange(parameter.mutable_grad(), at::Tensor()));
}

// The last first: of a parameter that stands there twice the first entry has the gradient.
FreshGradients::~FreshGradients() {
  for (size_t i = parameters_.size(); i-- > 0;) parameters_[i].mutable_grad() = kept_[i];
}

void FreshGradients::add() {
  struct Lists {
    std::vector<at::Tensor> kept, fresh;
  };
  const at::NoGradGuard no_grad;
  std::map<at::ScalarType, Lists> by_type;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor fresh = std::exchange(parameters_[i].mutable_grad(), at::Tensor());
    if (!fresh.defined()) continue;
    if (!kept_[i].defined()) {
      kept_[i] = fresh;
      continue;
    }
    Lists& lists = by_type[kept_[i].scalar_type()];
    lists.kept.push_back(kept_[i]);
    lists.fresh.push_back(laid_out_as(kept_[i], fresh));
  }
  for (const auto& [type, lists] : by_type) at::_foreach_add_(lists.kept, lists.fresh);
}

}  // namespace unireplk::train
