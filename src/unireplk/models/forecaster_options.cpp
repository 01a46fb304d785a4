#include "unireplk/models/forecaster_options.h"

#include "unireplk/core/error.h"

namespace unireplk::models {

void require(bool good, const char* key, std::string message, std::string cure) {
  if (!good) throw UserError({key, std::move(message), std::move(cure)});
}

void require_counts(std::initializer_list<std::pair<const char*, int64_t>> counts) {
  for (const auto& [key, count] : counts) {
    require(count >= 1 && count <= kMostNumbers, key, format("expected 1 to {}, got {}", kMostNumbers, count));
  }
}

void require_rate(const char* key, double rate) {
  require(rate >= 0 && rate < 1, key, format("expected a rate in [0, 1), got {}", rate));
}

UniRepLKNetOptions resolved_trunk(UniRepLKNetOptions backbone) {
  backbone.mode = Mode::kTrunk;
  backbone.in_channels = 1;
  return resolved(std::move(backbone));
}

int64_t last_map_size(int64_t size, int64_t stages) {
  const int64_t stride = int64_t{2} << stages;
  return (size + stride - 1) / stride;
}

}  // namespace unireplk::models
