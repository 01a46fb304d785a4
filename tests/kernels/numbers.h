#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "unireplk/kernels/map_values.h"

/// Maps of both types of numbers that passes take.
namespace unireplk::kernels {

inline float widened(float value) { return value; }
inline float widened(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }

template <class Number>
std::vector<float> widened(const std::vector<Number>& values) {
  std::vector<float> floats;
  for (const auto value : values) floats.push_back(widened(value));
  return floats;
}

/// What a map of `Number` can hold of values; those of float32 lose no more than their lower halves.
template <class Number>
std::vector<Number> held(const std::vector<double>& values) {
  std::vector<Number> numbers;
  for (const double value : values) {
    if constexpr (std::is_same_v<Number, float>) {
      numbers.push_back(static_cast<float>(value));
    } else {
      numbers.push_back({static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(value)) >> 16)});
    }
  }
  return numbers;
}

template <class Number>
std::vector<double> as_held(const std::vector<double>& values) {
  const auto floats = widened(held<Number>(values));
  return {floats.begin(), floats.end()};
}

template <class Number>
std::vector<Number> not_a_number(size_t count) {
  return held<Number>(std::vector<double>(count, std::nan("")));
}

/// How far rounding alone may take a stored value, in units of it.
template <class Number>
constexpr double kRounding = std::is_same_v<Number, float> ? 0 : 1.0 / 256;

}  // namespace unireplk::kernels
