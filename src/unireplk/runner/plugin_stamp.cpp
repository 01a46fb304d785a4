#include "unireplk/runner/plugin_stamp.h"

namespace unireplk::runner {

std::string_view program_stamp() { return UNIREPLK_PLUGIN_STAMP; }

}  // namespace unireplk::runner
