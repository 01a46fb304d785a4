#include "unireplk/tasks/ranked_classes.h"

#include <ATen/ops/sort.h>

#include "unireplk/core/format.h"

namespace unireplk::tasks {
namespace {

std::string class_name(const DataInfo& info, int64_t label) {
  const auto index = static_cast<size_t>(label);
  return index < info.classes.size() ? info.classes[index] : format("class {}", label);
}

}  // namespace

std::vector<Prediction> ranked_classes(const at::Tensor& scores, const std::vector<SampleKey>& keys,
                                       const DataInfo& info) {
  const auto [top, index] = at::sort(scores, /*dim=*/1, /*descending=*/true);
  const at::Tensor best = top.cpu(), classes = index.cpu();
  const auto best_at = best.accessor<double, 2>();
  const auto class_at = classes.accessor<int64_t, 2>();
  std::vector<Prediction> predictions;
  for (size_t i = 0; i < keys.size(); ++i) {
    Prediction& prediction = predictions.emplace_back(Prediction{.key = keys[i], .items = {}});
    const auto sample = static_cast<int64_t>(i);
    for (int64_t j = 0; j < best.size(1); ++j) {
      prediction.items.push_back({class_name(info, class_at[sample][j]), best_at[sample][j]});
    }
  }
  return predictions;
}

}  // namespace unireplk::tasks
