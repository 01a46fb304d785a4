#pragma once

#include "unireplk/config/node.h"
#include "unireplk/config/type.h"

namespace unireplk::config {

/// A value as nodes, in field order; texts are marked as quoted, other scalars are not.
/// \param written  the tree the value was parsed from: gives each node its origin. nullptr: all are defaults.
/// \throws ContractError for a number that is not finite, which YAML and JSON cannot carry both.
Node snapshot(const Type& type, const void* value, const Node* written = nullptr);
Node snapshot(const StructType& type, const void* value, const Node* written = nullptr);

}  // namespace unireplk::config
