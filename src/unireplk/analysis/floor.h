#pragma once

#include <cstdint>

#include "unireplk/models/unireplknet.h"

/// The work that a network cannot do without: products and convolutions, each tap that meets the map. Two operations
/// for each multiply-add. What lies between them (norms, activations, the optimizer) is passes over memory, which a
/// clever enough program does while it multiplies, and counts for nothing here.
namespace unireplk::analysis {

/// Pixels of a square map times the taps of an odd kernel there, without those that meet padding.
double useful_taps(int64_t side, int64_t kernel, int64_t dilation);

/// Floating point operations of one image of `side` x `side` pixels forward, in the form that options.deploy says.
double forward_flops(const models::UniRepLKNetOptions& options, int64_t side);

/// Those of a training step: every product and convolution forward, for the gradient of its weights and, but for the
/// first, of its input. Branches are convolutions of their own, none of which is computed twice.
double training_flops(const models::UniRepLKNetOptions& options, int64_t side);

}  // namespace unireplk::analysis
