#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace unireplk::config {

/// Where a value comes from.
struct Origin {
  enum class Kind { kDefault, kFile, kCommandLine };

  Kind kind = Kind::kDefault;
  std::shared_ptr<const std::string> file{};
  int line = 0;    ///< from one
  int column = 0;  ///< from one

  std::string text() const;  ///< "a.yaml:14:9", "command line" or "default"
};

/// A YAML value: what was written, before anything is known of types.
struct Node {
  struct Member;
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string scalar;
  bool is_quoted = false;  ///< a quoted scalar is text, never a number, bool or null
  std::vector<Node> items;
  std::vector<Member> members;  ///< in the order written
  Origin origin;

  const Node* find(std::string_view key) const;  ///< nullptr when absent or not a map
  Node* find(std::string_view key);
  Member* find_member(std::string_view key);

  /// "a map", "a list", "nothing", `"text"`, `1.5`: for messages.
  std::string text() const;
};

struct Node::Member {
  std::string key;
  Origin origin;
  Node value;
};

}  // namespace unireplk::config
