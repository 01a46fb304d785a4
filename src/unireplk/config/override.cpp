#include <algorithm>

#include "unireplk/config/reader.h"
#include "unireplk/config/scalar.h"
#include "unireplk/config/tree.h"

namespace unireplk::config {
namespace {

constexpr size_t kMaxSteps = 32;

/// "a.list[0].key" as {"a", "list", "0", "key"}; empty when malformed.
std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> steps(1);
  for (size_t i = 0; i < path.size(); ++i) {
    const bool is_index_end = path[i] == ']';
    if (is_index_end && (i + 1 == path.size() || path[i + 1] == '.' || path[i + 1] == '[')) continue;
    if (is_index_end) return {};
    if (path[i] == '.' || path[i] == '[') {
      steps.emplace_back();
    } else {
      steps.back() += path[i];
    }
  }
  const bool has_gap = std::any_of(steps.begin(), steps.end(), [](const auto& step) { return step.empty(); });
  return has_gap || steps.size() > kMaxSteps ? std::vector<std::string>{} : steps;
}

Node nested(const std::vector<std::string>& steps, size_t from, Node value) {
  if (from == steps.size()) return value;
  const Origin origin = value.origin;
  Node map;
  map.kind = Node::Kind::kMap;
  map.origin = origin;
  map.members.push_back({steps[from], origin, nested(steps, from + 1, std::move(value))});
  return map;
}

/// Set the value at `steps`; returns what is wrong, empty when all is well.
std::string set(Node& node, const std::vector<std::string>& steps, size_t from, Node value) {
  const bool enters_list = node.kind == Node::Kind::kList && from < steps.size();
  if (enters_list) {
    const auto index = read_integer(steps[from]);
    const auto* position = index ? std::get_if<uint64_t>(&*index) : nullptr;
    if (!position || *position >= node.items.size()) {
      return format("expected an index below {}, got {}", node.items.size(), excerpt(steps[from]));
    }
    return set(node.items[static_cast<size_t>(*position)], steps, from + 1, std::move(value));
  }
  if (from + 1 < steps.size()) {
    if (Node* next = node.find(steps[from])) return set(*next, steps, from + 1, std::move(value));
  }
  merge(node, nested(steps, from, std::move(value)), from == 0);
  return {};
}

}  // namespace

void apply_override(Tree& tree, const std::string& text) {
  const std::string place = "command line: ";
  const size_t equals = text.find('=');
  const auto steps = split_path(std::string_view(text).substr(0, equals));
  if (equals == std::string::npos || steps.empty()) {
    tree.problems.push_back({place + text.substr(0, equals), "expected key.path=value, got " + excerpt(text),
                             "Write for example train.optimizer.lr=0.001."});
    return;
  }
  const std::string path = text.substr(0, equals);
  try {
    Node value = read_yaml(std::string_view(text).substr(equals + 1), nullptr, tree.problems);
    value.origin.kind = Origin::Kind::kCommandLine;
    const std::string problem = set(tree.root, steps, 0, std::move(value));
    if (!problem.empty()) tree.problems.push_back({place + path, problem, {}});
  } catch (const UserError& error) {
    for (const auto& problem : error.problems()) tree.problems.push_back({place + path, problem.message, problem.cure});
  }
}

}  // namespace unireplk::config
