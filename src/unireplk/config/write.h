#pragma once

#include <string>

#include "unireplk/config/node.h"

namespace unireplk::config {

/// A snapshot as YAML: block maps, lists of scalars on one line.
/// \param with_origins  end each line with a comment that says where the value comes from.
std::string write_yaml(const Node& node, bool with_origins = false);

/// A snapshot as JSON on one line.
std::string write_json(const Node& node);

}  // namespace unireplk::config
