#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/config/fields.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::train {

/// Arithmetic of forward and backward. Parameters, their averages and the optimizer's state are fp32 in any case.
enum class Precision { kFp32, kBf16, kFp16 };

std::string_view name_of(Precision precision);
std::vector<std::string> precision_names();

/// \throws ContractError when there is none of this name.
Precision precision_named(std::string_view name);

/// The autocast that forward pass and loss run under.
AutocastSettings autocast_for(Precision precision, at::Device device);

}  // namespace unireplk::train

namespace unireplk::config {

template <>
struct EnumNames<train::Precision> {
  static constexpr std::pair<std::string_view, train::Precision> values[] = {
      {"fp32", train::Precision::kFp32}, {"bf16", train::Precision::kBf16}, {"fp16", train::Precision::kFp16}};
};

}  // namespace unireplk::config
