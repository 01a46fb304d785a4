#pragma once

#include <string_view>
#include <utility>

#include "unireplk/config/fields.h"

namespace unireplk::data {

/// Which part of a data set that is split once and for all.
enum class SplitPart { kTrain, kValidation, kTest };

}  // namespace unireplk::data

template <>
struct unireplk::config::EnumNames<unireplk::data::SplitPart> {
  using E = unireplk::data::SplitPart;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"train", E::kTrain}, {"validation", E::kValidation}, {"test", E::kTest}};
};
