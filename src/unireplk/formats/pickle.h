#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/core/result.h"

/// Python pickles, protocols 2 to 5, as data: nothing in them is ever called or imported. What a pickle wants built or
/// called becomes a node that says so, and only for classes and functions that the reader's owner allows by name.
namespace unireplk::formats {

constexpr int64_t kPickleMaxBytes = int64_t{32} << 20;  ///< weights of thousands of tensors need one
constexpr size_t kPickleMaxValues = size_t{1} << 20;    ///< nodes, and entries of the stack and the memo
constexpr size_t kPickleMaxItems = size_t{1} << 22;     ///< items of all tuples, lists and dictionaries together
constexpr int kPickleMaxDepth = 32;                     ///< of what is looked at; a loop ends here as well

enum class PickleKind {
  kNone,
  kBool,        ///< integer
  kInt,         ///< integer
  kBigInt,      ///< text: two's complement, little-endian
  kFloat,       ///< real
  kText,        ///< text, UTF-8
  kBytes,       ///< text
  kTuple,       ///< items
  kList,        ///< items
  kDict,        ///< items: key, value, key, value ...; collections.OrderedDict too
  kGlobal,      ///< text: "module.name"
  kCall,        ///< items: the global, its arguments as a tuple, and the state it was given, if any
  kPersistent,  ///< items: the id of something outside of the pickle
};

/// In words: "a tuple".
std::string_view name_of(PickleKind kind);

using PickleId = uint32_t;  ///< place in Pickle::values

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  int64_t integer = 0;
  double real = 0;
  std::string text = {};
  std::vector<PickleId> items = {};
};

/// A parsed pickle. Values may hold each other several times and in loops.
struct Pickle {
  std::vector<PickleValue> values;
  PickleId root = 0;
  size_t bytes = 0;  ///< that the pickle took

  const PickleValue& operator[](PickleId id) const { return values.at(id); }

  /// The value of a text key. The last one counts, as in Python. Null when absent or `dict` is no dictionary.
  const PickleId* find(PickleId dict, std::string_view key) const;
};

/// Whether a pickle may name this class or function ("collections.OrderedDict").
using PickleRule = std::function<bool(std::string_view global)>;

/// Parse the pickle at the beginning of `bytes`; what follows it is not looked at. \param place  named in problems.
Result<Pickle> parse_pickle(std::span<const std::byte> bytes, const std::string& place, const PickleRule& allowed);

}  // namespace unireplk::formats
