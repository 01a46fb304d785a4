#pragma once

#include <string>

#include "unireplk/config/type.h"

namespace unireplk::config {

/// What a value of this type may be: "a number > 0", "true or false", "a list of 2 numbers", "one of a, b".
std::string describe(const Type& type, const Constraint& constraint);

}  // namespace unireplk::config
