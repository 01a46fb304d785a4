#pragma once

#include <optional>
#include <string>

#include "unireplk/config/node.h"
#include "unireplk/config/type.h"

namespace unireplk::config {

/// A value, or what is wrong with it.
struct ScalarResult {
  std::optional<Scalar> value;
  std::string message;
  std::string cure;
};

/// Read a scalar strictly: quoted values are texts, numbers are decimal, bools are true and false.
ScalarResult parse_scalar(const ScalarType& type, const Node& node, const Constraint& constraint);

/// Whether a value of the right kind fulfils type limits and constraint.
bool fits(const ScalarType& type, const Scalar& value, const Constraint& constraint);

}  // namespace unireplk::config
