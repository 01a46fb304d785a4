#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace unireplk::config {

/// A value without parts. Non-negative integers are uint64_t when read, so that every 64-bit value fits.
using Scalar = std::variant<bool, int64_t, uint64_t, double, std::string>;

/// `true` or `false`; YAML 1.1's yes, no, on and off are texts.
std::optional<bool> read_bool(std::string_view text);

/// Decimal digits with an optional sign; no leading zeros (octal in YAML 1.1), no underscores, no exponent.
/// Holds int64_t for negative values, else uint64_t; empty also when 64 bits overflow.
std::optional<Scalar> read_integer(std::string_view text);

/// A finite decimal number: 1, -0.5, .5, 1., 1e-3. No hexadecimal, infinity or NaN, no overflow.
std::optional<double> read_number(std::string_view text);

/// The shortest text that reads back as the same double and is a float for any YAML or JSON reader:
/// "1.0e-05".
std::string write_number(double value);

/// As YAML or JSON: numbers and true/false plain, text as it is.
std::string write_scalar(const Scalar& value);

/// A double-quoted string that is valid JSON and YAML.
std::string in_quotes(std::string_view text);

/// `text` quoted, made printable and cut to a length that suits a message.
std::string excerpt(std::string_view text);

/// What to write instead of a malformed number ("Write 0.001 or 1.0e-3."); empty when nothing is near.
std::string number_cure(std::string_view text);

}  // namespace unireplk::config
