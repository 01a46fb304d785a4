#include "unireplk/data/array_pipeline.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <filesystem>
#include <string>
#include <utility>

#include "unireplk/io/npy_file.h"

namespace unireplk::data {
namespace {

std::vector<int64_t> numbers_of(const DataInfo& source, const std::string& name) {
  const auto found = source.constants.find(name);
  if (found == source.constants.end()) {
    throw UserError({"data.pipeline", "array makes maps of arrays, and the data source gives something else",
                     "Choose the source npy, or the pipeline of this data."});
  }
  const auto* values = found->second.const_data_ptr<int64_t>();
  return {values, values + found->second.numel()};
}

std::vector<double> values_of(const DataInfo& source, const std::string& name) {
  const at::Tensor values = source.constants.at(name).to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

/// \return float64 [C, 1, ...], to be broadcast over an item.
at::Tensor per_channel(const char* key, const std::vector<double>& values, const std::vector<int64_t>& shape) {
  if (static_cast<int64_t>(values.size()) != shape.at(0)) {
    throw UserError({format("data.pipeline.{}", key),
                     format("expected {} values, one for each channel, got {}", shape[0], values.size()),
                     "Give as many as the items have channels, or leave it out."});
  }
  std::vector<int64_t> view(shape.size(), 1);
  view[0] = shape[0];
  return at::tensor(values, at::kDouble).view(view);
}

class ArrayPipeline : public Pipeline {
 public:
  ArrayPipeline(const ArrayPipelineConfig& config, const DataInfo& source)
      : config_(with_statistics(config, source)),
        shape_(numbers_of(source, "item_shape")),
        axes_(numbers_of(source, "item_axes")),
        mean_(per_channel("mean", *config_.mean, shape_)),
        std_(per_channel("std", *config_.std, shape_)),
        map_(map_shape()) {}

  Result<std::vector<Sample>> apply(const Record& record, const Draw&) const override {
    const at::Tensor item = item_of(record);
    if (item.sizes() != at::IntArrayRef(shape_)) {
      return Problem{record.source.text(),
                     format("expected an item [{}], got [{}]", fmt::join(shape_, ", "), fmt::join(item.sizes(), ", ")),
                     "Give an item like those that the network has seen."};
    }
    const at::Tensor standard = item.to(at::kDouble).sub(mean_).div(std_).to(at::kFloat).contiguous();
    Sample sample{.fields = record.target, .key = record.key, .source = record.source};
    sample.fields["image"] = fitted(standard.view(natural_shape()));
    return std::vector{std::move(sample)};
  }

  DataInfo describe(DataInfo source) const override {
    std::erase_if(source.fields, [](const FieldSpec& spec) { return spec.name == "image"; });
    source.fields.push_back(
        {.name = "image", .dtype = at::kFloat, .shape = map_, .meaning = "a map, channels x rows x columns"});
    source.constants["channels"] = at::tensor(map_[0], at::kLong);
    source.constants["mean"] = mean_.flatten();
    source.constants["std"] = std_.flatten();
    return source;
  }

 private:
  at::Tensor item_of(const Record& record) const {
    if (const auto* item = std::get_if<at::Tensor>(&record.payload)) return *item;
    const auto* file = std::get_if<std::filesystem::path>(&record.payload);
    if (!file) {
      throw UserError({"data.pipeline", "array makes maps of arrays, and the data source gives encoded files",
                       "Choose the source npy, or the pipeline of this data."});
    }
    const at::Tensor item = io::read_npy(*file);
    return item.dim() == static_cast<int64_t>(axes_.size()) ? item.permute(axes_) : item;
  }

  /// Channels, rows and columns before the fit.
  std::vector<int64_t> natural_shape() const {
    if (shape_.size() == 3) return shape_;
    const int64_t steps = shape_.size() == 2 ? shape_[1] : 1;
    if (shape_.size() == 1) return {1, 1, shape_[0]};
    return config_.series == SeriesMap::kRow ? std::vector<int64_t>{shape_[0], 1, steps}
                                             : std::vector<int64_t>{1, shape_[0], steps};
  }

  std::vector<int64_t> map_shape() const {
    auto shape = natural_shape();
    if (!config_.size) return shape;
    const auto [rows, columns] = *config_.size;
    if (config_.fit == Fit::kPad && (shape[1] > rows || shape[2] > columns)) {
      throw UserError({"data.pipeline.size",
                       format("expected at least the {} x {} of the items with fit: pad, got {} x {}", shape[1],
                              shape[2], rows, columns),
                       "Give more, or use fit: resize."});
    }
    return {shape[0], rows, columns};
  }

  at::Tensor fitted(const at::Tensor& map) const {
    if (map.sizes() == at::IntArrayRef(map_)) return map;
    if (config_.fit == Fit::kPad) return at::constant_pad_nd(map, {0, map_[2] - map.size(2), 0, map_[1] - map.size(1)});
    return at::upsample_bilinear2d(map.unsqueeze(0), {map_[1], map_[2]}, /*align_corners=*/false).squeeze(0);
  }

  ArrayPipelineConfig config_;
  std::vector<int64_t> shape_;  ///< of an item: [C], [C, L] or [C, H, W]
  std::vector<int64_t> axes_;   ///< where they lie in a file
  at::Tensor mean_, std_;
  std::vector<int64_t> map_;  ///< [C, H, W]
};

}  // namespace

ArrayPipelineConfig with_statistics(ArrayPipelineConfig config, const DataInfo& training) {
  if (config.mean) return config;
  numbers_of(training, "item_shape");  // that the data are arrays
  config.mean = values_of(training, "mean");
  config.std = values_of(training, "std");
  return config;
}

std::unique_ptr<Pipeline> make_array_pipeline(const ArrayPipelineConfig& config, const DataInfo& source, Mode) {
  return std::make_unique<ArrayPipeline>(config, source);
}

}  // namespace unireplk::data
