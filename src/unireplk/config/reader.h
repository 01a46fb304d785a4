#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/config/node.h"
#include "unireplk/core/error.h"

namespace unireplk::config {

/// Bounds of what is read; a config that meets one of them is not a config.
inline constexpr size_t kMaxFileBytes = 1 << 20;
inline constexpr size_t kMaxExpandedBytes = 8 << 20;  ///< after aliases are expanded
inline constexpr size_t kMaxDepth = 64;
inline constexpr size_t kMaxKeys = 10000;  ///< of one map

/// Parse one YAML (or JSON) document.
///
/// \param name      the file's name in messages and origins; nullptr: the text comes from the command line.
/// \param problems  receives mistakes that leave the rest readable: a key that comes twice.
/// \throws UserError located at the first syntax error, tag, second document, key that is no text, byte that
/// is not
///         text, or when a bound is met. An empty document is a null node.
Node read_yaml(std::string_view text, std::shared_ptr<const std::string> name, std::vector<Problem>& problems);

}  // namespace unireplk::config
