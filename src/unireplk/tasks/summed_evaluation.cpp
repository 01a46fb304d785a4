#include "unireplk/tasks/summed_evaluation.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <typeinfo>

#include "unireplk/core/error.h"

namespace unireplk::tasks {

void SummedEvaluation::add_sums(const at::Tensor& sums) {
  if (!sums_.defined()) sums_ = at::zeros_like(sums);
  sums_.add_(sums.to(sums_.device()));
}

void SummedEvaluation::merge(const Evaluation& other) {
  UNIREPLK_CHECK(typeid(*this) == typeid(other), "only evaluations of one task can be merged");
  const auto& same = static_cast<const SummedEvaluation&>(other);
  if (same.sums_.defined()) add_sums(same.sums_);
}

at::Tensor SummedEvaluation::sums_or_zeros(at::IntArrayRef shape) const {
  return sums_.defined() ? sums_.cpu() : at::zeros(shape, at::kDouble);
}

void SummedEvaluation::save(StateWriter& writer) const { writer.tensor("sums", sums_or_zeros({0})); }

void SummedEvaluation::load(const StateReader& reader) {
  const auto sums = reader.tensor("sums").to(at::kDouble).clone();
  sums_ = sums.numel() > 0 ? sums : at::Tensor();
}

}  // namespace unireplk::tasks
