#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/core/result.h"

namespace unireplk::data::audio {

/// Classes as AudioSet lists them: spec/audio.md section 2.1.
struct ClassIndex {
  std::string place;
  std::vector<std::string> names;
  std::map<std::string, int64_t, std::less<>> label_of;  ///< by the class's `mid`

  /// Labels of `mid`s joined by commas, or the problem of one that is no class. \param place  named then.
  Result<std::vector<int64_t>> labels_of(std::string_view mids, const std::string& place) const;
};

/// Read a CSV file with columns index, mid and display_name.
/// \throws UserError unless its rows count from zero and no mid or name comes twice.
ClassIndex read_class_index(const std::filesystem::path& file);

}  // namespace unireplk::data::audio
