#pragma once

/// As targets.h, for kernels that take turns with a decoder many times a second. They have no vectors of 512 bits: a
/// processor that has to power these up and down again for each image loses more than their width gains (Ice Lake,
/// whole pipeline: 14 %).
#define HWY_DISABLED_TARGETS (UNIREPLK_UNUSED_TARGETS | HWY_AVX3)

#include "unireplk/kernels/cpu/targets.h"
