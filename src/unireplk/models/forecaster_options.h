#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "unireplk/models/unireplknet.h"

/// What the options of all forecasters are held to.
namespace unireplk::models {

inline constexpr int64_t kMostNumbers = 1 << 20;  ///< of anything that a forecaster counts

/// \throws UserError at `key` unless `good`.
void require(bool good, const char* key, std::string message, std::string cure = "");

/// \throws UserError at the first key whose count is not 1 to kMostNumbers.
void require_counts(std::initializer_list<std::pair<const char*, int64_t>> counts);

/// \throws UserError unless the rate is in [0, 1).
void require_rate(const char* key, double rate);

/// The backbone of a forecaster: a trunk on maps of one channel. \throws UserError as resolved().
UniRepLKNetOptions resolved_trunk(UniRepLKNetOptions backbone);

/// Rows or columns of the last map of a trunk of so many stages, of as many of the first.
int64_t last_map_size(int64_t size, int64_t stages = kStages);

}  // namespace unireplk::models
