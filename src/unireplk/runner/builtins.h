#pragma once

#include "unireplk/config/registry.h"

namespace unireplk::runner {

/// Everything a `name:` key of a config file may choose: the one list of the program.
config::Registries builtins();

}  // namespace unireplk::runner
