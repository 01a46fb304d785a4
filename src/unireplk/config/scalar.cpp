#include "unireplk/config/scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "unireplk/core/format.h"

namespace unireplk::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

size_t count_digits(std::string_view text, size_t from) {
  size_t end = from;
  while (end < text.size() && is_digit(text[end])) ++end;
  return end - from;
}

/// Length of the longest decimal number at the start of `text`; 0 when there is none.
size_t number_length(std::string_view text) {
  size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  const size_t whole = count_digits(text, at);
  at += whole;
  size_t part = 0;
  if (at < text.size() && text[at] == '.') {
    part = count_digits(text, at + 1);
    if (whole + part > 0) at += 1 + part;
  }
  if (whole + part == 0) return 0;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    const size_t sign = at + 1 < text.size() && (text[at + 1] == '-' || text[at + 1] == '+') ? 1 : 0;
    const size_t exponent = count_digits(text, at + 1 + sign);
    if (exponent > 0) at += 1 + sign + exponent;
  }
  return at;
}

std::string plain_decimal(double value) {
  for (int digits = 0; digits < 12; ++digits) {
    std::string text = format("{:.{}f}", value, digits);
    if (text.size() < 20 && read_number(text) == value) return text;
  }
  return write_number(value);
}

template <class T>
std::optional<T> from_text(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<bool> read_bool(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<Scalar> read_integer(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view digits = negative || text.starts_with('+') ? text.substr(1) : text;
  if (digits.empty() || count_digits(digits, 0) != digits.size()) return std::nullopt;
  if (digits.size() > 1 && digits[0] == '0') return std::nullopt;
  if (negative) {
    const auto value = from_text<int64_t>(text);
    return value ? std::optional<Scalar>(*value) : std::nullopt;
  }
  const auto value = from_text<uint64_t>(digits);
  return value ? std::optional<Scalar>(*value) : std::nullopt;
}

std::optional<double> read_number(std::string_view text) {
  if (text.empty() || number_length(text) != text.size()) return std::nullopt;
  const auto value = from_text<double>(text.starts_with('+') ? text.substr(1) : text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::string write_number(double value) {
  std::string text = format("{}", value);
  const size_t exponent = text.find('e');
  if (text.find('.') == std::string::npos) text.insert(std::min(exponent, text.size()), ".0");
  return text;
}

std::string write_scalar(const Scalar& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<int64_t>(&value)) return format("{}", *number);
  if (const auto* number = std::get_if<uint64_t>(&value)) return format("{}", *number);
  if (const auto* number = std::get_if<double>(&value)) return write_number(*number);
  return std::get<std::string>(value);
}

std::string in_quotes(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string excerpt(std::string_view text) {
  constexpr size_t kLongest = 60;
  if (text.size() <= kLongest) return in_quotes(text);
  size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // keep whole UTF-8 characters
  return in_quotes(std::string(text.substr(0, end)) + "...");
}

std::string number_cure(std::string_view text) {
  std::string mended(text);
  std::erase(mended, '_');
  if (std::count(mended.begin(), mended.end(), ',') == 1) std::replace(mended.begin(), mended.end(), ',', '.');
  if (mended != text && read_number(mended)) return format("Write {}.", mended);
  const size_t length = number_length(text);
  const bool only_a_unit = length < text.size() && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(length),
                                                               text.end(), [](char c) { return is_letter(c); });
  const auto value = only_a_unit ? read_number(text.substr(0, length)) : std::nullopt;
  if (!value) return {};
  const std::string number(text.substr(0, length));
  const size_t exponent = number.find_first_of("eE");
  if (exponent == std::string::npos) return format("Write {}.", number);
  const bool has_point = number.find('.') != std::string::npos;
  return format("Write {} or {}{}{}.", plain_decimal(*value), number.substr(0, exponent), has_point ? "" : ".0",
                number.substr(exponent));
}

}  // namespace unireplk::config
