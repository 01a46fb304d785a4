#include "unireplk/tensor/synchronise.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace unireplk {

void synchronise(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeDevice(device.index());
}

}  // namespace unireplk
