#include "unireplk/data/npy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/config/type_of.h"
#include "unireplk/data/class_names.h"
#include "unireplk/io/npy_file.h"

namespace unireplk::data {
namespace {

namespace fs = std::filesystem;

/// Letters of the axes, as config files write them.
std::string_view letters(Layout layout) {
  for (const auto& [name, value] : config::EnumNames<Layout>::values) {
    if (value == layout) return name;
  }
  throw ContractError("npy: no such layout");
}

/// Where the axes of [N, C, ...] lie in the file.
std::vector<int64_t> axes(Layout layout) {
  switch (layout) {
    case Layout::kNLC:
      return {0, 2, 1};
    case Layout::kNHWC:
      return {0, 3, 1, 2};
    case Layout::kNC:
      return {0, 1};
    case Layout::kNCL:
      return {0, 1, 2};
    case Layout::kNCHW:
      return {0, 1, 2, 3};
  }
  throw ContractError("npy: no such layout");
}

std::string kind_text(const at::Tensor& array) {
  return format("{} [{}]", at::toString(array.scalar_type()), fmt::join(array.sizes(), ", "));
}

/// \return [N, C, ...], a view.
at::Tensor read_inputs(const NpyConfig& config) {
  const at::Tensor array = io::read_npy(config.inputs);
  const auto order = axes(config.layout);
  if (array.dim() != static_cast<int64_t>(order.size()) || array.numel() == 0) {
    throw UserError({config.inputs.string(),
                     format("expected {} axes, {}, none of them empty, got {}", order.size(), letters(config.layout),
                            kind_text(array)),
                     "Set `layout` to what the axes of the array are."});
  }
  return array.permute(order);
}

at::Tensor read_targets(const fs::path& file, int64_t count) {
  const at::Tensor labels = io::read_npy(file);
  if (labels.dim() != 1 || !at::isIntegralType(labels.scalar_type(), /*includeBool=*/true)) {
    throw UserError({file.string(), format("expected class indices, integers [N], got {}", kind_text(labels)),
                     "Save them with labels.astype(numpy.int64).reshape(-1)."});
  }
  if (labels.size(0) != count) {
    throw UserError({file.string(),
                     format("expected {} labels, one for each item of `inputs`, got {}", count, labels.size(0)),
                     "Take both files from one data set and split."});
  }
  return labels.to(at::kLong).contiguous();
}

/// Runs over the items of an array some at a time, as float64 [n, C, rest].
template <class Visit>
void for_each_part(const at::Tensor& items, Visit visit) {
  constexpr int64_t kNumbers = int64_t{1} << 22;
  const int64_t step = std::max<int64_t>(1, kNumbers / (items.numel() / items.size(0)));
  for (int64_t first = 0; first < items.size(0); first += step) {
    const at::Tensor part = items.narrow(0, first, std::min(step, items.size(0) - first));
    visit(first, part.to(at::kDouble).reshape({part.size(0), part.size(1), -1}));
  }
}

void check_finite(const fs::path& file, const at::Tensor& items) {
  if (!items.is_floating_point()) return;
  for_each_part(items, [&](int64_t first, const at::Tensor& part) {
    const at::Tensor bad = part.isfinite().logical_not().flatten(1).any(1);
    if (!bad.any().item<bool>()) return;
    const int64_t at = bad.nonzero()[0].item<int64_t>();
    throw UserError({format("{}: item {}", file.string(), first + at),
                     format("expected finite numbers, got {} that are not",
                            part[at].isfinite().logical_not().sum().item<int64_t>()),
                     "Leave the item out of both files, or fill its gaps."});
  });
}

struct Moments {
  at::Tensor mean, std;  ///< float64 [C]
};

Moments moments_of(const at::Tensor& items) {
  const double count = static_cast<double>(items.numel() / items.size(1));
  at::Tensor sum = at::zeros({items.size(1)}, at::kDouble), squares = at::zeros_like(sum);
  for_each_part(items, [&](int64_t, const at::Tensor& part) { sum += part.sum(at::IntArrayRef{0, 2}); });
  const at::Tensor mean = sum / count;
  for_each_part(items, [&](int64_t, const at::Tensor& part) {
    squares += (part - mean.view({1, -1, 1})).square().sum(at::IntArrayRef{0, 2});
  });
  const at::Tensor deviation = at::sqrt(squares / count);
  return {mean, at::where(deviation > 0, deviation, at::ones_like(deviation))};
}

class Npy : public Source {
 public:
  explicit Npy(const NpyConfig& config)
      : inputs_file_(config.inputs),
        targets_file_(config.targets),
        items_(read_inputs(config)),
        labels_(read_targets(config.targets, items_.size(0))) {
    classes_ = classes_of({labels_.const_data_ptr<int64_t>(), static_cast<size_t>(labels_.numel())}, config.targets,
                          config.classes);
    check_finite(config.inputs, items_);
    const auto [mean, std] = moments_of(items_);
    auto order = axes(config.layout);
    order.erase(order.begin());
    for (auto& axis : order) --axis;
    constants_ = {{"mean", mean},
                  {"std", std},
                  {"item_shape", at::tensor(items_.sizes().slice(1), at::kLong)},
                  {"item_axes", at::tensor(order, at::kLong)}};
  }

  int64_t size() const override { return items_.size(0); }
  SourceRef where(int64_t index) const override { return {.file = inputs_file_.string(), .position = index}; }
  std::optional<int64_t> label(int64_t index) const override { return labels_.const_data_ptr<int64_t>()[index]; }
  std::vector<fs::path> files() const override { return {inputs_file_, targets_file_}; }

  Result<Record> read(int64_t index) const override {
    UNIREPLK_CHECK(index >= 0 && index < size(), "npy: item {} of {}", index, size());
    return Record{.payload = items_.select(0, index),
                  .target = {{"label", labels_.select(0, index)}},
                  .key = {.item = index},
                  .source = where(index)};
  }

  DataInfo info() const override { return {.fields = {label_field()}, .classes = classes_, .constants = constants_}; }

 private:
  fs::path inputs_file_, targets_file_;
  at::Tensor items_;   // [N, C, ...], a view of the file's order
  at::Tensor labels_;  // [N] int64
  std::vector<std::string> classes_;
  TensorMap constants_;
};

}  // namespace

std::unique_ptr<Source> make_npy(const NpyConfig& config) { return std::make_unique<Npy>(config); }

}  // namespace unireplk::data
