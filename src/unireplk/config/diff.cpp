#include <algorithm>

#include "unireplk/config/dump.h"
#include "unireplk/core/format.h"

namespace unireplk::config {
namespace {

void compare(const Node& a, const Node& b, const std::string& path, std::vector<Difference>& out);

void compare_texts(const Node& a, const Node& b, const std::string& path, std::vector<Difference>& out) {
  const std::string before = write_json(a);
  const std::string after = write_json(b);
  if (before != after) out.push_back({path, before, after});
}

void compare_maps(const Node& a, const Node& b, const std::string& path, std::vector<Difference>& out) {
  const std::string prefix = path.empty() ? path : path + '.';
  for (const auto& member : a.members) {
    const Node* other = b.find(member.key);
    if (other) {
      compare(member.value, *other, prefix + member.key, out);
    } else {
      out.push_back({prefix + member.key, write_json(member.value), ""});
    }
  }
  for (const auto& member : b.members) {
    if (!a.find(member.key)) out.push_back({prefix + member.key, "", write_json(member.value)});
  }
}

void compare_lists(const Node& a, const Node& b, const std::string& path, std::vector<Difference>& out) {
  const bool has_parts =
      std::any_of(a.items.begin(), a.items.end(), [](const Node& item) { return item.kind == Node::Kind::kMap; });
  if (a.items.size() == b.items.size() && has_parts) {
    for (size_t i = 0; i < a.items.size(); ++i) compare(a.items[i], b.items[i], format("{}[{}]", path, i), out);
  } else {
    compare_texts(a, b, path, out);
  }
}

void compare(const Node& a, const Node& b, const std::string& path, std::vector<Difference>& out) {
  if (a.kind == Node::Kind::kMap && b.kind == Node::Kind::kMap) return compare_maps(a, b, path, out);
  if (a.kind == Node::Kind::kList && b.kind == Node::Kind::kList) return compare_lists(a, b, path, out);
  compare_texts(a, b, path, out);
}

}  // namespace

std::vector<Difference> diff(const Node& before, const Node& after) {
  std::vector<Difference> out;
  compare(before, after, {}, out);
  return out;
}

}  // namespace unireplk::config
