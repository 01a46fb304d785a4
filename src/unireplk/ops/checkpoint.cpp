#include "unireplk/ops/checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <utility>

#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Casts of weights made here are not kept for later: those of the first run have no graph and would cut the weights
/// off from their gradients.
AutocastSettings without_kept_casts(AutocastSettings settings) {
  settings.keeps_casts = false;
  return settings;
}

struct Recomputation : torch::CustomClassHolder {
  Recomputation(Recomputable run_again, AutocastSettings settings) : part(std::move(run_again)), autocast(settings) {}

  Recomputable part;
  AutocastSettings autocast;
};

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Recomputation>& job, const at::Tensor& x,
                            at::TensorList parameters) {
    variable_list saved{x};
    saved.insert(saved.end(), parameters.begin(), parameters.end());
    context->save_for_backward(std::move(saved));
    context->saved_data["job"] = c10::IValue::make_capsule(job);
    const AutocastGuard autocast(job->autocast);
    return job->part(x, /*recomputing=*/false);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto capsule = context->saved_data["job"].toCapsule();
    const auto& job = static_cast<const Recomputation&>(*capsule);
    variable_list inputs = context->get_saved_variables();
    const bool x_needs_gradient = inputs[0].requires_grad();
    inputs[0] = inputs[0].detach().requires_grad_(x_needs_gradient);
    variable_list wanted;
    for (const auto& input : inputs) {
      if (input.requires_grad()) wanted.push_back(input);
    }
    at::Tensor y;
    {
      const at::AutoGradMode with_graph(true);
      const AutocastGuard autocast(job.autocast);
      y = job.part(inputs[0], /*recomputing=*/true);
    }
    const auto found = torch::autograd::grad({y}, wanted, {gradients[0]}, std::nullopt, false, /*allow_unused=*/true);
    variable_list result(1);  // none for the job
    for (size_t i = 0, next = 0; i < inputs.size(); ++i) {
      result.push_back(inputs[i].requires_grad() ? found[next++] : at::Tensor());
    }
    return result;
  }
};

}  // namespace

at::Tensor checkpoint(Recomputable part, const at::Tensor& x, const std::vector<at::Tensor>& parameters) {
  const auto autocast = without_kept_casts(AutocastSettings::current(x.device().type()));
  return Checkpoint::apply(c10::make_intrusive<Recomputation>(std::move(part), autocast), x,
                           at::TensorList(parameters));  // as a vector its tensors would be no inputs of the graph
}

}  // namespace unireplk::ops
