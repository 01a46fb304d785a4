#include "unireplk/tasks/map_input.h"

#include "unireplk/core/error.h"
#include "unireplk/ops/normalise.h"

namespace unireplk::tasks {
namespace {

/// A constant of the data set as float [C].
at::Tensor channel_constant(const DataInfo& info, const std::string& name) {
  const auto found = info.constants.find(name);
  UNIREPLK_CHECK(found != info.constants.end(), "the task needs the constant \"{}\" of the data", name);
  return found->second.to(at::kFloat).reshape({-1});
}

/// \param map  [B, C, H, W].
at::Tensor channels_last(const at::Tensor& map) {
  if (map.size(1) != 1) return map.contiguous(at::MemoryFormat::ChannelsLast);
  return map.reshape({map.size(0), map.size(2), map.size(3), 1}).permute({0, 3, 1, 2});  // strides that say so
}

}  // namespace

MapInput::MapInput(const DataInfo& info) {
  const auto* image = info.find("image");
  const bool is_map = image ? image->dtype == at::kFloat : !info.constants.contains("mean");
  if (is_map) return;
  mean_ = channel_constant(info, "mean");
  std_ = channel_constant(info, "std");
}

FieldSpec MapInput::field() const {
  if (!mean_.defined()) {
    return {.name = "image", .dtype = at::kFloat, .shape = {-1, -1, -1}, .meaning = "a map, channels x rows x columns"};
  }
  return {
      .name = "image", .dtype = at::kByte, .shape = {-1, -1, mean_.size(0)}, .meaning = "rows x columns x channels"};
}

at::Tensor MapInput::map_of(const at::Tensor& image) {
  if (!mean_.defined()) return channels_last(image);
  mean_ = mean_.to(image.device());
  std_ = std_.to(image.device());
  return ops::normalise(image, mean_, std_);
}

}  // namespace unireplk::tasks
