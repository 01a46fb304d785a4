#pragma once

#include <string>
#include <vector>

#include "unireplk/config/snapshot.h"
#include "unireplk/config/type_of.h"
#include "unireplk/config/write.h"

namespace unireplk::config {

/// Every field of a config as nodes.
template <HasFields T>
Node snapshot(const T& value, const Node* written = nullptr) {
  return snapshot(type_of<T>(), &value, written);
}

/// The whole config as YAML, in field order. It can be run again: parsing it gives an equal value.
template <HasFields T>
std::string dump(const T& value) {
  return write_yaml(snapshot(value));
}

/// The same as JSON on one line, to embed in a file; load_text() reads it.
template <HasFields T>
std::string to_json(const T& value) {
  return write_json(snapshot(value));
}

/// A key whose value differs, with both values as one-line JSON; the text of a side that lacks the key is empty.
struct Difference {
  std::string key;  ///< dotted: "train.optimizer.lr", "data.list[0].root"
  std::string before;
  std::string after;

  bool operator==(const Difference&) const = default;
};

/// Where two configs differ, key by key. A list whose length or plain items differ comes as a whole.
std::vector<Difference> diff(const Node& before, const Node& after);

template <HasFields T>
std::vector<Difference> diff(const T& before, const T& after) {
  return diff(snapshot(before), snapshot(after));
}

}  // namespace unireplk::config
