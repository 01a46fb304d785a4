#include "unireplk/config/parse_scalar.h"

#include <algorithm>
#include <cmath>

#include "unireplk/config/describe.h"
#include "unireplk/config/text.h"
#include "unireplk/core/format.h"

namespace unireplk::config {
namespace {

bool within_limits(const ScalarType& type, const Scalar& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) {
    return *number < 0 ? *number >= type.lowest : static_cast<uint64_t>(*number) <= type.highest;
  }
  return std::get<uint64_t>(value) <= type.highest;
}

double as_number(const Scalar& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<uint64_t>(&value)) return static_cast<double>(*number);
  return std::get<double>(value);
}

bool contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::optional<Scalar> read(ScalarKind kind, const Node& node) {
  if (node.kind != Node::Kind::kScalar) return std::nullopt;
  if (kind == ScalarKind::kText || kind == ScalarKind::kEnum) return node.scalar;
  if (node.is_quoted) return std::nullopt;
  if (kind == ScalarKind::kBool) return read_bool(node.scalar);
  if (kind == ScalarKind::kInteger) return read_integer(node.scalar);
  return read_number(node.scalar);
}

std::string bool_cure(const std::string& text) {
  for (const char* yes : {"yes", "on", "y", "1", "True", "TRUE", "Yes", "On"}) {
    if (text == yes) return "Write true.";
  }
  for (const char* no : {"no", "off", "n", "0", "False", "FALSE", "No", "Off"}) {
    if (text == no) return "Write false.";
  }
  return {};
}

std::string integer_cure(const ScalarType& type, const std::string& text) {
  const auto number = read_number(text);
  if (!number) return number_cure(text);
  const size_t first = text.find_first_not_of("+-");
  if (text.find_first_not_of("0123456789", first) == std::string::npos) {
    if (text[first] == '0' && first + 1 < text.size()) return "Leave out leading zeros.";
    const auto value = read_integer(text);
    const bool is_in_limits = value && within_limits(type, *value);
    return is_in_limits ? "" : format("The most is {}, the least {}.", type.highest, type.lowest);
  }
  const bool is_whole = std::abs(*number) < 1e15 && *number == std::trunc(*number);
  return is_whole ? format("Write {}.", static_cast<int64_t>(*number)) : std::string{};
}

std::string cure_of(const ScalarType& type, const Node& node, const Constraint& constraint) {
  if (node.kind == Node::Kind::kNull) return "Remove the key or give it a value.";
  if (node.kind != Node::Kind::kScalar) return {};
  const bool is_text = type.kind == ScalarKind::kText || type.kind == ScalarKind::kEnum;
  if (!is_text && node.is_quoted) return "Remove the quotes.";
  switch (type.kind) {
    case ScalarKind::kBool:
      return bool_cure(node.scalar);
    case ScalarKind::kInteger:
      return integer_cure(type, node.scalar);
    case ScalarKind::kNumber:
      return read_number(node.scalar) ? std::string{} : number_cure(node.scalar);
    case ScalarKind::kText:
    case ScalarKind::kEnum:
      break;
  }
  const std::string near = nearest(node.scalar, type.kind == ScalarKind::kEnum ? type.names() : constraint.one_of);
  return near.empty() ? near : format("Did you mean \"{}\"?", near);
}

}  // namespace

bool fits(const ScalarType& type, const Scalar& value, const Constraint& constraint) {
  switch (type.kind) {
    case ScalarKind::kBool:
      return true;
    case ScalarKind::kInteger:
      return within_limits(type, value) && constraint.range.holds(as_number(value));
    case ScalarKind::kNumber:
      return constraint.range.holds(as_number(value));
    case ScalarKind::kEnum:
      return contains(type.names(), std::get<std::string>(value));
    case ScalarKind::kText:
      break;
  }
  const auto& text = std::get<std::string>(value);
  if (constraint.non_empty && text.empty()) return false;
  return constraint.one_of.empty() || contains(constraint.one_of, text);
}

ScalarResult parse_scalar(const ScalarType& type, const Node& node, const Constraint& constraint) {
  auto value = read(type.kind, node);
  if (value && fits(type, *value, constraint)) return {std::move(value), {}, {}};
  return {std::nullopt, format("expected {}, got {}", describe({type}, constraint), node.text()),
          cure_of(type, node, constraint)};
}

}  // namespace unireplk::config
