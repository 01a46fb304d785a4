#include "unireplk/analysis/classification_baselines.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/runner/baselines.h"
#include "unireplk/tasks/classification.h"

namespace unireplk::runner {
namespace {

using analysis::LabelledRows;

constexpr int64_t kMostItems = 8192;                // whose products with each other fit into memory
constexpr int64_t kMostNumbers = int64_t{1} << 26;  // of all items together

/// Call `visit` with the items of a data set as rows of numbers, some at a time. Items that cannot be read are left
/// out, as an evaluation does.
void for_each_piece(const data::Dataset& dataset, const std::function<void(const LabelledRows&)>& visit) {
  constexpr int64_t kPiece = 256;
  for (int64_t first = 0; first < dataset.size(); first += kPiece) {
    std::vector<at::Tensor> rows;
    std::vector<int64_t> labels;
    for (int64_t i = first; i < std::min(first + kPiece, dataset.size()); ++i) {
      const auto samples = dataset.samples(i, Draw{});
      if (!samples) continue;
      for (const auto& sample : *samples) {
        rows.push_back(sample.fields.at("image").to(at::kFloat).flatten());
        labels.push_back(sample.fields.at("label").item<int64_t>());
      }
    }
    if (!rows.empty()) visit({.values = at::stack(rows), .labels = at::tensor(labels, at::kLong)});
  }
}

/// \throws UserError when none can be read.
LabelledRows all_rows(const data::Dataset& dataset) {
  std::vector<at::Tensor> values, labels;
  for_each_piece(dataset, [&](const LabelledRows& piece) {
    values.push_back(piece.values);
    labels.push_back(piece.labels);
  });
  if (values.empty()) {
    throw UserError({"task.baselines", "no item to learn from could be read from data.train",
                     "Correct data.train, or leave baselines out."});
  }
  return {.values = at::cat(values), .labels = at::cat(labels)};
}

/// \throws UserError unless a ridge can learn from these data.
void check_size(const data::Dataset& training) {
  const auto* image = training.info.find("image");
  const bool has_one_size = image && std::ranges::all_of(image->shape, [](int64_t extent) { return extent > 0; });
  if (!has_one_size) {
    throw UserError({"task.baselines", "expected maps of one size, as ridge learns from their numbers",
                     "Leave ridge out, or give the pipeline a size."});
  }
  int64_t numbers = 1;
  for (const int64_t extent : image->shape) numbers *= extent;
  const int64_t items = training.size();
  if (items >= 2 && items <= kMostItems && items <= kMostNumbers / numbers) return;
  throw UserError({"task.baselines",
                   format("ridge learns from 2 to {} items and at most {} numbers, got {} items of {} numbers",
                          kMostItems, kMostNumbers, items, numbers),
                   "Leave it out."});
}

class ClassificationBaselines : public Baselines {
 public:
  /// \param training  as evaluation sees it; nothing where it is not at hand.
  ClassificationBaselines(std::vector<std::string> names, std::optional<data::Dataset> training)
      : names_(std::move(names)), training_(std::move(training)) {
    if (training_ && wants("ridge")) check_size(*training_);
  }

  std::vector<Baseline> beside(const data::Dataset& evaluated) override {
    if (names_.empty()) return {};
    if (!training_) {
      log_info("{} left out: there are no training data to learn from", fmt::join(names_, ", "));
      return {};
    }
    if (!fits_) fits_ = fit();
    int64_t items = 0, of_majority = 0, of_ridge = 0;
    for_each_piece(evaluated, [&](const LabelledRows& piece) {
      items += piece.labels.numel();
      of_majority += piece.labels.eq(fits_->majority).sum().item<int64_t>();
      if (fits_->ridge) of_ridge += fits_->ridge->classes_of(piece.values).eq(piece.labels).sum().item<int64_t>();
    });
    std::vector<Baseline> baselines;
    const auto add = [&](std::string name, int64_t hits) {
      const double percent = 100.0 * static_cast<double>(hits) / static_cast<double>(items);
      baselines.push_back({std::move(name), {{.name = "top1", .value = percent, .unit = "%"}}});
    };
    if (wants("majority"))
      add(format("majority ({})", evaluated.info.classes.at(static_cast<size_t>(fits_->majority))), of_majority);
    if (fits_->ridge) add(format("ridge ({:.3g})", fits_->ridge->penalty), of_ridge);
    return baselines;
  }

 private:
  struct Fits {
    int64_t majority = 0;
    std::optional<analysis::RidgeClassifier> ridge = {};
  };

  bool wants(const char* name) const { return std::ranges::count(names_, name) > 0; }

  Fits fit() const {
    const auto classes = std::ssize(training_->info.classes);
    const auto rows = all_rows(*training_);
    Fits fits{.majority = analysis::majority_class(rows.labels, classes)};
    if (wants("ridge")) fits.ridge = analysis::choose_ridge_classifier(rows, classes);
    return fits;
  }

  std::vector<std::string> names_;
  std::optional<data::Dataset> training_;
  std::optional<Fits> fits_;
};

}  // namespace

std::unique_ptr<Baselines> classification_baselines(const config::Choice<tasks::TaskSignature>& task,
                                                    const config::Choice<data::PipelineSignature>& pipeline,
                                                    const TrainingSource& training) {
  const auto& names = task.config<tasks::ClassificationConfig>().baselines;
  std::optional<data::Dataset> dataset;
  if (!names.empty() && training) {
    const auto source = training();
    dataset = data::make_dataset(source, pipeline.make(source->info(), data::Mode::kEvaluation));
  }
  return std::make_unique<ClassificationBaselines>(names, std::move(dataset));
}

}  // namespace unireplk::runner
