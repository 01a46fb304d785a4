#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

/// Classifiers that need no network, by which one is judged.
namespace unireplk::analysis {

/// Items as rows of numbers.
struct LabelledRows {
  at::Tensor values;  ///< [N, D] floating
  at::Tensor labels;  ///< [N] int64, in [0, classes)
};

/// The class that most items have; of several the first.
int64_t majority_class(const at::Tensor& labels, int64_t classes);

/// Least squares on the classes, each 1 for its items and 0 for others, of rows minus their mean; the largest answer
/// wins. In float64.
struct RidgeClassifier {
  double penalty = 0;   ///< of the fit: penalty * |weight|^2
  double left_out = 0;  ///< mean squared error on each item of a fit without it
  at::Tensor mean;      ///< [D]
  at::Tensor weight;    ///< [D, classes]
  at::Tensor bias;      ///< [classes], free of the penalty

  at::Tensor classes_of(const at::Tensor& values) const;  ///< [n, D] to [n] int64
};

/// \param penalty  above 0.
RidgeClassifier fit_ridge_classifier(const LabelledRows& train, int64_t classes, double penalty);

/// That of the penalty, 0.001 to 1000 times the mean square of a row in steps of ten, with the least left-out error:
/// the training items alone decide. In closed form from the products of all rows with each other, N x N numbers.
RidgeClassifier choose_ridge_classifier(const LabelledRows& train, int64_t classes);

}  // namespace unireplk::analysis
