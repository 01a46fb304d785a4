#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "unireplk/core/result.h"

namespace unireplk::formats {

/// Parse a NumPy .npy file that holds one row of texts [N]: of fixed width (`U19`, `S19`, of either byte order), or
/// objects, which NumPy pickles. Nothing of a pickle is run (formats/pickle.h), and all its objects have to be texts.
/// \return UTF-8. \param place  the file, named in problems.
Result<std::vector<std::string>> parse_npy_texts(std::span<const std::byte> file, const std::string& place);

}  // namespace unireplk::formats
