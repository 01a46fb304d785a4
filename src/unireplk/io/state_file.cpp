#include "unireplk/io/state_file.h"

#include <ATen/ops/empty.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "unireplk/core/error.h"
#include "unireplk/formats/json.h"

namespace unireplk::io {
namespace {

using nlohmann::json;

constexpr const char* kBits = "float64_bits";  // for inf and nan, which JSON has no numbers for

json to_json(double value) {
  if (std::isfinite(value)) return value;  // printed with the shortest digits that read back to the same bits
  return {{kBits, format("{:016x}", std::bit_cast<uint64_t>(value))}};
}

json to_json(int64_t value) { return value; }
json to_json(const std::string& value) { return value; }

std::optional<double> double_of_bits(const json& value) {
  if (!value.is_object() || value.size() != 1 || !value.contains(kBits) || !value[kBits].is_string()) return {};
  const auto& digits = value[kBits].get_ref<const std::string&>();
  uint64_t bits = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, bits, 16);
  if (digits.size() != 16 || parsed.ec != std::errc() || parsed.ptr != end) return {};
  return std::bit_cast<double>(bits);
}

/// JSON keeps non-negative numbers unsigned.
bool fits_int64(const json& value) {
  return !value.is_number_unsigned() ||
         value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

}  // namespace

void StateBuffer::refuse(const std::string& key, const std::string& message) const {
  throw UserError({.place = place_,
                   .message = format("\"{}\": {}", key, message),
                   .cure = "The file belongs to another program version or configuration."});
}

void StateBuffer::add_scalar(const std::string& key, Scalar value) {
  UNIREPLK_CHECK(!has(key), "state: key \"{}\" is written twice", key);
  scalars_.emplace(key, std::move(value));
}

template <class T>
const T& StateBuffer::scalar(const std::string& key, const char* expected) const {
  const auto found = scalars_.find(key);
  if (found == scalars_.end()) refuse(key, format("expected {}, got {}", expected, has(key) ? "a tensor" : "nothing"));
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) refuse(key, format("expected {}, got another type", expected));
  return *value;
}

void StateBuffer::tensor(const std::string& key, const at::Tensor& value) {
  UNIREPLK_CHECK(!has(key), "state: key \"{}\" is written twice", key);
  at::Tensor copy = at::empty(value.sizes(), value.options().device(at::kCPU).requires_grad(false));
  copy.copy_(value.detach());
  tensor_index_.emplace(key, tensors_.tensors.size());
  tensors_.tensors.emplace_back(key, std::move(copy));
}

void StateBuffer::number(const std::string& key, double value) { add_scalar(key, value); }
void StateBuffer::integer(const std::string& key, int64_t value) { add_scalar(key, value); }

void StateBuffer::text(const std::string& key, const std::string& value) {
  try {
    static_cast<void>(json(value).dump());
  } catch (const json::exception&) {
    throw ContractError(format("state: the text of \"{}\" is not UTF-8", key));
  }
  add_scalar(key, value);
}

bool StateBuffer::has(const std::string& key) const { return scalars_.contains(key) || tensor_index_.contains(key); }

at::Tensor StateBuffer::tensor(const std::string& key) const {
  const auto found = tensor_index_.find(key);
  if (found == tensor_index_.end()) {
    refuse(key, format("expected a tensor, got {}", has(key) ? "a scalar" : "nothing"));
  }
  return tensors_.tensors[found->second].second;
}

double StateBuffer::number(const std::string& key) const { return scalar<double>(key, "a number"); }
int64_t StateBuffer::integer(const std::string& key) const { return scalar<int64_t>(key, "an integer"); }
std::string StateBuffer::text(const std::string& key) const { return scalar<std::string>(key, "a text"); }

void StateBuffer::write_to(StateWriter& writer) const {
  for (const auto& [key, value] : tensors_.tensors) writer.tensor(key, value);
  for (const auto& [key, value] : scalars_) {
    if (const auto* number = std::get_if<double>(&value)) writer.number(key, *number);
    if (const auto* integer = std::get_if<int64_t>(&value)) writer.integer(key, *integer);
    if (const auto* text = std::get_if<std::string>(&value)) writer.text(key, *text);
  }
}

std::string StateBuffer::scalars_json() const {
  json root = json::object();
  for (const auto& [key, value] : scalars_) {
    root[key] = std::visit([](const auto& held) { return to_json(held); }, value);
  }
  return root.dump(2) + "\n";
}

StateBuffer StateBuffer::from(TensorFile tensors, const std::string& scalars_json, const std::string& place) {
  const json root = formats::parse_json(scalars_json, place, 3).value_or_throw();
  StateBuffer state;
  state.place_ = place;
  if (!root.is_object()) throw UserError({.place = place, .message = "expected a JSON object", .cure = ""});
  for (const auto& [key, value] : root.items()) {
    if (value.is_number_float()) {
      state.number(key, value.get<double>());
    } else if (value.is_number_integer() && fits_int64(value)) {
      state.integer(key, value.get<int64_t>());
    } else if (value.is_string()) {
      state.text(key, value.get<std::string>());
    } else if (const auto number = double_of_bits(value)) {
      state.number(key, *number);
    } else {
      state.refuse(key, "expected a number, an integer or a text");
    }
  }
  state.tensors_ = std::move(tensors);
  for (size_t i = 0; i < state.tensors_.tensors.size(); ++i) {
    const std::string& key = state.tensors_.tensors[i].first;
    if (state.has(key)) state.refuse(key, "is both a tensor and a scalar");
    state.tensor_index_.emplace(key, i);
  }
  return state;
}

}  // namespace unireplk::io
