#include "unireplk/analysis/classification_baselines.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/one_hot.h>

#include <limits>
#include <tuple>
#include <utility>

#include "unireplk/core/error.h"

namespace unireplk::analysis {
namespace {

/// All that fits of several penalties share: the rows' products with each other, taken apart once.
class RidgeProblem {
 public:
  RidgeProblem(const LabelledRows& train, int64_t classes) : count_(train.values.size(0)) {
    UNIREPLK_CHECK(count_ >= 2 && train.labels.size(0) == count_, "a ridge of {} rows and {} labels", count_,
                   train.labels.size(0));
    const auto values = train.values.to(at::kDouble);
    mean_ = values.mean(0);
    rows_ = values - mean_;
    const auto targets = at::one_hot(train.labels, classes).to(at::kDouble);
    bias_ = targets.mean(0);
    targets_ = targets - bias_;
    std::tie(strengths_, directions_) = at::linalg_eigh(rows_.mm(rows_.t()));
    strengths_ = strengths_.clamp_min(0);
    parts_ = directions_.t().mm(targets_);
  }

  /// The mean square of a row; 1 where all are alike.
  double level() const {
    const double mean = strengths_.mean().item<double>();
    return mean > 0 ? mean : 1;
  }

  /// Mean squared error on each item of a fit without it: its own error over the share that the others had in it.
  double left_out(double penalty) const {
    const auto shrunk = (strengths_ / (strengths_ + penalty)).unsqueeze(1);
    const auto error = targets_ - directions_.mm(shrunk * parts_);
    const auto own_share = directions_.square().mm(shrunk) + 1.0 / static_cast<double>(count_);  // [N, 1]
    return (error / (1 - own_share)).square().mean().item<double>();
  }

  RidgeClassifier fit(double penalty) const {
    const auto answers = directions_.mm(parts_ / (strengths_ + penalty).unsqueeze(1));  // [N, classes]
    return {.penalty = penalty,
            .left_out = left_out(penalty),
            .mean = mean_,
            .weight = rows_.t().mm(answers),
            .bias = bias_};
  }

 private:
  int64_t count_;
  at::Tensor mean_, rows_;             ///< [D], [N, D]
  at::Tensor bias_, targets_;          ///< [classes], [N, classes]
  at::Tensor strengths_, directions_;  ///< eigenvalues [N] and eigenvectors [N, N] of the products
  at::Tensor parts_;                   ///< of the targets along the directions
};

}  // namespace

int64_t majority_class(const at::Tensor& labels, int64_t classes) {
  return at::bincount(labels, {}, classes).argmax().item<int64_t>();
}

at::Tensor RidgeClassifier::classes_of(const at::Tensor& values) const {
  return ((values.to(at::kDouble) - mean).mm(weight) + bias).argmax(1);
}

RidgeClassifier fit_ridge_classifier(const LabelledRows& train, int64_t classes, double penalty) {
  const at::NoGradGuard no_graph;
  return RidgeProblem(train, classes).fit(penalty);
}

RidgeClassifier choose_ridge_classifier(const LabelledRows& train, int64_t classes) {
  const at::NoGradGuard no_graph;
  const RidgeProblem problem(train, classes);
  double best = 0, least = std::numeric_limits<double>::infinity();
  for (const double share : {0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0}) {
    const double error = problem.left_out(share * problem.level());
    if (error < least) std::tie(least, best) = std::pair(error, share * problem.level());
  }
  return problem.fit(best);
}

}  // namespace unireplk::analysis
