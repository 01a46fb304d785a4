#include "unireplk/config/constraints.h"

#include <cmath>

#include "unireplk/config/scalar.h"
#include "unireplk/core/error.h"

namespace unireplk::config {
namespace {

std::string short_number(double value) {
  std::string text = write_number(value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

}  // namespace

bool Range::holds(double value) const {
  const bool above = open_low ? value > low : value >= low;
  const bool below = open_high ? value < high : value <= high;
  return above && below;
}

std::string Range::text() const {
  const bool has_low = std::isfinite(low);
  const bool has_high = std::isfinite(high);
  if (has_low && has_high) {
    return format("in {}{}, {}{}", open_low ? '(' : '[', short_number(low), short_number(high), open_high ? ')' : ']');
  }
  if (has_low) return format("{} {}", open_low ? ">" : ">=", short_number(low));
  if (has_high) return format("{} {}", open_high ? "<" : "<=", short_number(high));
  return {};
}

Constraint operator&(Constraint left, const Constraint& right) {
  if (!right.range.text().empty()) {
    UNIREPLK_CHECK(left.range.text().empty(), "a field with two ranges");
    left.range = right.range;
  }
  if (!right.one_of.empty()) {
    UNIREPLK_CHECK(left.one_of.empty(), "a field with two lists of texts");
    left.one_of = right.one_of;
  }
  left.non_empty |= right.non_empty;
  left.required |= right.required;
  return left;
}

}  // namespace unireplk::config
