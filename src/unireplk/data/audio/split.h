#pragma once

#include <string_view>
#include <utility>

#include "unireplk/config/fields.h"

namespace unireplk::data::audio {

/// Which part of a published split.
enum class Split { kTrain, kValidation, kTest };

}  // namespace unireplk::data::audio

template <>
struct unireplk::config::EnumNames<unireplk::data::audio::Split> {
  using E = unireplk::data::audio::Split;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"train", E::kTrain}, {"validation", E::kValidation}, {"test", E::kTest}};
};
