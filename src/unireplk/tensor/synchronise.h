#pragma once

#include <c10/core/Device.h>

namespace unireplk {

/// Wait until a GPU has done what it was given; nothing on the CPU.
void synchronise(c10::Device device);

}  // namespace unireplk
