#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/core/error.h"

/// What a config struct needs: constraints, names of enum values, cross-checks.
///
///   struct AdamWConfig {
///     double lr = 1e-3;
///     static void fields(auto& self, auto&& visit) {
///       visit("lr", self.lr, config::positive, "Base learning rate, after warm-up.");
///     }
///     void validate(config::Problems& problems) const;   // optional
///   };
///
/// Members: bool, integers, double, std::string, std::filesystem::path, enums with EnumNames, structs with
/// `fields`, Choice, and std::optional, std::vector, std::array, std::map<std::string, T> of these. The
/// initial value of a member is its default.
namespace unireplk::config {

/// The YAML names of an enum's values:
///
///   template <> struct config::EnumNames<Precision> {
///     static constexpr std::pair<std::string_view, Precision> values[] = {{"fp32", Precision::kFp32}, ...};
///   };
template <class E>
struct EnumNames;

/// Collects what `validate` finds; called only for a struct whose fields are all good.
class Problems {
 public:
  using Place = std::function<std::string(std::string_view key)>;

  Problems(std::vector<Problem>& list, Place place) : list_(list), place_(std::move(place)) {}

  /// \param key  the field to blame, "data.loader.batch_size" in structs within; empty: the struct itself.
  void add(std::string_view key, std::string message, std::string cure = {}) {
    list_.push_back({place_(key), std::move(message), std::move(cure)});
  }

 private:
  std::vector<Problem>& list_;
  Place place_;
};

}  // namespace unireplk::config
