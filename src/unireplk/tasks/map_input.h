#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/tensor/sample.h"

namespace unireplk::tasks {

/// The field `image` of a data set, and how it becomes what a network sees.
class MapInput {
 public:
  /// \param info  when `image` holds bytes, its constants `mean` and `std`, [C] each, in units of a 0..1 image. Without
  ///              `image` and `mean`, field() asks for a floating map. \throws ContractError when one constant is
  ///              missing.
  explicit MapInput(const DataInfo& info);

  /// What a batch must have.
  FieldSpec field() const;

  /// Bytes [B, H, W, C] normalised, or a map [B, C, H, W] as it is: floating [B, C, H, W], channels last.
  at::Tensor map_of(const at::Tensor& image);

 private:
  at::Tensor mean_;  ///< [C] on the device of the last batch; undefined where the data are maps
  at::Tensor std_;
};

}  // namespace unireplk::tasks
