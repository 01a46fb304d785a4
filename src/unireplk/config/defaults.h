#pragma once

#include "unireplk/config/type.h"

namespace unireplk::config {

/// Whether a key cannot be left out: it is required, or the member's value, its default, breaks its
/// constraint.
bool must_be_given(const Field& field);

}  // namespace unireplk::config
