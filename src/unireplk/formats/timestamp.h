#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace unireplk::formats {

/// Seconds since 1970-01-01 00:00:00 of a stamp without a time zone: `2016-07-01 00:00:00`, `2016/7/1 0:00`, with or
/// without seconds, with a blank or a `T` before the hour, or a day alone. Nothing for any other text,
/// and for days and hours that no calendar has.
std::optional<int64_t> parse_timestamp(std::string_view text);

/// "2016-07-01 00:00:00"
std::string timestamp_text(int64_t seconds);

}  // namespace unireplk::formats
