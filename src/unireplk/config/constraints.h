#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

namespace unireplk::config {

/// What a number may be. Used in `fields` lists; printed in messages, help and schema.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;   ///< low itself is excluded
  bool open_high = false;  ///< high itself is excluded

  bool holds(double value) const;
  std::string text() const;  ///< "> 0", ">= 1", "in [0, 1)"; empty when everything is allowed
};

inline constexpr Range positive{.low = 0, .open_low = true};
inline constexpr Range non_negative{.low = 0};
inline constexpr Range fraction{.low = 0, .high = 1};                       ///< [0, 1]
inline constexpr Range below_one{.low = 0, .high = 1, .open_high = true};  ///< [0, 1)
constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range between(double low, double high) { return {.low = low, .high = high}; }

/// The text must not be empty.
struct NonEmpty {};
inline constexpr NonEmpty non_empty{};

/// The text must be one of these.
struct OneOf {
  std::vector<std::string> values;
};
inline OneOf one_of(std::initializer_list<std::string> values) { return {values}; }

}  // namespace unireplk::config
