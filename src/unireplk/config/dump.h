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

/// Dotted keys whose values differ: "train.optimizer.lr", "data.list[0].root"; a key that only one side has,
/// and a list whose length or plain items differ, come as a whole.
std::vector<std::string> diff(const Node& a, const Node& b);

template <HasFields T>
std::vector<std::string> diff(const T& a, const T& b) {
  return diff(snapshot(a), snapshot(b));
}

}  // namespace unireplk::config
