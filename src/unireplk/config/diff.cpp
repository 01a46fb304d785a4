#include <algorithm>

#include "unireplk/config/dump.h"
#include "unireplk/core/format.h"

namespace unireplk::config {
namespace {

void compare(const Node& a, const Node& b, const std::string& path, std::vector<std::string>& out);

void compare_maps(const Node& a, const Node& b, const std::string& path, std::vector<std::string>& out) {
  const std::string prefix = path.empty() ? path : path + '.';
  for (const auto& member : a.members) {
    const Node* other = b.find(member.key);
    if (other) {
      compare(member.value, *other, prefix + member.key, out);
    } else {
      out.push_back(prefix + member.key);
    }
  }
  for (const auto& member : b.members) {
    if (!a.find(member.key)) out.push_back(prefix + member.key);
  }
}

void compare_lists(const Node& a, const Node& b, const std::string& path, std::vector<std::string>& out) {
  const bool has_parts =
      std::any_of(a.items.begin(), a.items.end(), [](const Node& item) { return item.kind == Node::Kind::kMap; });
  if (a.items.size() == b.items.size() && has_parts) {
    for (size_t i = 0; i < a.items.size(); ++i) compare(a.items[i], b.items[i], format("{}[{}]", path, i), out);
  } else if (write_json(a) != write_json(b)) {
    out.push_back(path);
  }
}

void compare(const Node& a, const Node& b, const std::string& path, std::vector<std::string>& out) {
  if (a.kind == Node::Kind::kMap && b.kind == Node::Kind::kMap) return compare_maps(a, b, path, out);
  if (a.kind == Node::Kind::kList && b.kind == Node::Kind::kList) return compare_lists(a, b, path, out);
  if (write_json(a) != write_json(b)) out.push_back(path);
}

}  // namespace

std::vector<std::string> diff(const Node& a, const Node& b) {
  std::vector<std::string> out;
  compare(a, b, {}, out);
  return out;
}

}  // namespace unireplk::config
