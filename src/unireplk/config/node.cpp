#include "unireplk/config/node.h"

#include <algorithm>

#include "unireplk/config/scalar.h"
#include "unireplk/core/error.h"

namespace unireplk::config {

std::string Origin::text() const {
  switch (kind) {
    case Kind::kFile:
      return place_of(*file, line, column);
    case Kind::kCommandLine:
      return "command line";
    case Kind::kDefault:
      break;
  }
  return "default";
}

const Node* Node::find(std::string_view key) const {
  const auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.key == key; });
  return found == members.end() ? nullptr : &found->value;
}

Node* Node::find(std::string_view key) {
  Member* member = find_member(key);
  return member ? &member->value : nullptr;
}

Node::Member* Node::find_member(std::string_view key) {
  const auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.key == key; });
  return found == members.end() ? nullptr : &*found;
}

std::string Node::text() const {
  switch (kind) {
    case Kind::kMap:
      return "a map";
    case Kind::kList:
      return "a list";
    case Kind::kScalar:
      return !is_quoted && read_number(scalar) ? scalar : excerpt(scalar);
    case Kind::kNull:
      break;
  }
  return "nothing";
}

}  // namespace unireplk::config
