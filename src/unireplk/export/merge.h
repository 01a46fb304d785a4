#pragma once

#include "unireplk/models/any_network.h"

namespace unireplk::exporting {

/// A network of deploy form equal to `network` in eval mode, merged in float64 and rounded once to its dtype.
/// The given network is left as it is; one in deploy form is copied.
models::UniRepLKNet merged(const models::UniRepLKNetImpl& network);
models::AnyNetwork merged(const models::AnyNetwork& network);

}  // namespace unireplk::exporting
