#pragma once

#include <utility>
#include <variant>

#include "unireplk/core/error.h"

namespace unireplk {

/// A value, or the problem that prevented it: for failures that are expected in a loop (one corrupt sample).
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}            // NOLINT: implicit on purpose
  Result(Problem problem) : state_(std::in_place_index<1>, std::move(problem)) {}  // NOLINT: implicit on purpose

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { return checked(), std::get<0>(state_); }
  const T& value() const& { return checked(), std::get<0>(state_); }
  T&& value() && { return checked(), std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Problem& problem() const { return std::get<1>(state_); }

  /// The value, or its problem thrown as a UserError.
  T value_or_throw() && {
    if (!has_value()) throw UserError(problem());
    return std::get<0>(std::move(state_));
  }

 private:
  void checked() const { UNIREPLK_CHECK(has_value(), "Result without a value: {}", problem().text()); }

  std::variant<T, Problem> state_;
};

/// What `function` returns, or the first problem of the UserError it throws.
template <class Function>
auto as_result(Function function) -> Result<decltype(function())> {
  try {
    return function();
  } catch (const UserError& error) {
    return error.problems().front();
  }
}

}  // namespace unireplk
