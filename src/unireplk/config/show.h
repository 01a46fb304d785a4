#pragma once

#include "unireplk/config/dump.h"
#include "unireplk/config/tree.h"

namespace unireplk::config {

/// The resolved config with the origin of each value: `lr: 0.001  # configs/a.yaml:14:9`, `# command line`,
/// `# default`. \param tree  what `value` was parsed from.
template <HasFields T>
std::string show(const T& value, const Tree& tree) {
  return write_yaml(snapshot(value, &tree.root), true);
}

}  // namespace unireplk::config
