#pragma once

#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace unireplk::config {

/// What a number may be. Used in `fields` lists; printed in messages, help and schema.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false;   ///< low itself is excluded
  bool open_high = false;  ///< high itself is excluded

  bool holds(double value) const;  ///< false for NaN
  std::string text() const;        ///< "> 0", ">= 1", "in [0, 1)"; empty when everything is allowed
};

inline constexpr Range positive{.low = 0, .open_low = true};
inline constexpr Range non_negative{.low = 0};
inline constexpr Range fraction{.low = 0, .high = 1};                      ///< [0, 1]
inline constexpr Range below_one{.low = 0, .high = 1, .open_high = true};  ///< [0, 1)
constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range between(double low, double high) { return {.low = low, .high = high}; }

/// The text, list, map or choice must not be empty.
struct NonEmpty {};
inline constexpr NonEmpty non_empty{};

/// The text must be one of these.
struct OneOf {
  std::vector<std::string> values;
};
inline OneOf one_of(std::initializer_list<std::string> values) { return {values}; }

/// The key must be given, whatever the default of the member is.
struct Required {};
inline constexpr Required required{};

/// Everything a field demands. A range or a list of texts applies to the elements of a list, map or optional.
/// Combine with `&`: `config::required & config::positive`.
///
/// A key may be left out only when the member's default fulfils the constraint: `std::string root;` with
/// `non_empty` has to be given.
struct Constraint {
  Range range;
  std::vector<std::string> one_of;  ///< empty: any text
  bool non_empty = false;
  bool required = false;

  Constraint() = default;
  Constraint(Range allowed) : range(allowed) {}                     // NOLINT: implicit on purpose
  Constraint(NonEmpty) : non_empty(true) {}                         // NOLINT: implicit on purpose
  Constraint(OneOf allowed) : one_of(std::move(allowed.values)) {}  // NOLINT: implicit on purpose
  Constraint(Required) : required(true) {}                          // NOLINT: implicit on purpose
};

/// Both demands. Of two ranges or two lists of texts the narrower one has to be written once: ContractError.
Constraint operator&(Constraint left, const Constraint& right);

}  // namespace unireplk::config
