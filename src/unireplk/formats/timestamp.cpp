#include "unireplk/formats/timestamp.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "unireplk/core/format.h"

namespace unireplk::formats {
namespace {

constexpr int kLastYear = 9999;

/// Takes a stamp apart from its beginning on.
class StampReader {
 public:
  explicit StampReader(std::string_view text) : rest_(text) {}

  bool is_done() const { return rest_.empty(); }

  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  /// A number of 1 to `digits` digits, at most `largest`.
  std::optional<int> number(size_t digits, int largest) {
    const size_t end = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    int value = 0;
    if (end == 0 || end > digits) return std::nullopt;
    std::from_chars(rest_.data(), rest_.data() + end, value);
    rest_.remove_prefix(end);
    return value <= largest ? std::optional(value) : std::nullopt;
  }

 private:
  std::string_view rest_;
};

std::optional<int64_t> read_day(StampReader& reader) {
  const auto year = reader.number(4, kLastYear);
  const char separator = reader.take('-') ? '-' : '/';
  if (!year || (separator == '/' && !reader.take('/'))) return std::nullopt;
  const auto month = reader.number(2, 12);
  if (!month || !reader.take(separator)) return std::nullopt;
  const auto day = reader.number(2, 31);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (*year == 0 || !date.ok()) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count();
}

/// "H:MM" or "H:MM:SS" in seconds.
std::optional<int64_t> read_clock(StampReader& reader) {
  const auto hour = reader.number(2, 23);
  if (!hour || !reader.take(':')) return std::nullopt;
  const auto minute = reader.number(2, 59);
  if (!minute) return std::nullopt;
  const auto second = reader.take(':') ? reader.number(2, 59) : std::optional(0);
  if (!second) return std::nullopt;
  return 3600 * *hour + 60 * *minute + *second;
}

}  // namespace

std::optional<int64_t> parse_timestamp(std::string_view text) {
  StampReader reader(text);
  const auto day = read_day(reader);
  if (!day || reader.is_done()) return day;
  if (!reader.take(' ') && !reader.take('T')) return std::nullopt;
  const auto clock = read_clock(reader);
  return clock && reader.is_done() ? std::optional(*day + *clock) : std::nullopt;
}

std::string timestamp_text(int64_t seconds) {
  const std::chrono::sys_seconds stamp{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(stamp);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(stamp - day);
  return format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                clock.minutes().count(), clock.seconds().count());
}

}  // namespace unireplk::formats
