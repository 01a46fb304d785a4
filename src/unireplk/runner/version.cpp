#include "unireplk/runner/version.h"

#include <torch/version.h>

#include "unireplk/core/format.h"
#include "unireplk/runner/build_stamp.h"

namespace unireplk::runner {

std::string version_line() {
  return format("unireplk {} (LibTorch {}, g++ {}.{}.{})", UNIREPLK_VERSION, TORCH_VERSION, __GNUC__, __GNUC_MINOR__,
                __GNUC_PATCHLEVEL__);
}

}  // namespace unireplk::runner
