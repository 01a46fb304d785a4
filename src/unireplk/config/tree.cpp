#include "unireplk/config/tree.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "unireplk/config/reader.h"
#include "unireplk/config/scalar.h"

namespace unireplk::config {
namespace {

constexpr size_t kMaxIncludeDepth = 16;
constexpr int kMaxFiles = 64;

std::string read_file(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    throw UserError({file.string(), "expected a YAML file, got nothing", "Check the path."});
  }
  if (std::filesystem::is_directory(file, error)) {
    throw UserError({file.string(), "expected a YAML file, got a folder", "A run's config is its config.yaml."});
  }
  if (!std::filesystem::is_regular_file(file, error)) {
    throw UserError({file.string(), "expected a regular file, got a pipe or device", "Write its text into a file."});
  }
  std::ifstream stream(file, std::ios::binary);
  std::string text(kMaxFileBytes + 1, '\0');  // one byte more than allowed: read_yaml refuses it
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.is_open() || stream.bad()) throw UserError({file.string(), "cannot be read", "Check its permissions."});
  text.resize(static_cast<size_t>(stream.gcount()));
  return text;
}

bool changes_name(const Node& base, const Node& later) {
  const Node* before = base.find("name");
  const Node* after = later.find("name");
  return before && after && before->scalar != after->scalar;
}

/// Forget what was written beside the old `name`. What the command line gave stays when the new name comes
/// from there too, so that the order of overrides does not matter.
void start_afresh(Node& map, const Origin& later) {
  const bool from_command_line = later.kind == Origin::Kind::kCommandLine;
  std::erase_if(map.members, [&](const Node::Member& member) {
    return !(from_command_line && member.origin.kind == Origin::Kind::kCommandLine);
  });
}

void require_map(const Node& root) {
  if (root.kind == Node::Kind::kNull || root.kind == Node::Kind::kMap) return;
  throw UserError({root.origin.text(), format("expected a map of keys, got {}", root.text()), {}});
}

class FileReader {
 public:
  explicit FileReader(std::vector<Problem>& problems) : problems_(problems) {}

  Node read(const std::filesystem::path& file) {
    const auto same = std::filesystem::weakly_canonical(file);
    if (std::find(open_.begin(), open_.end(), same) != open_.end()) {
      throw UserError({included_at_, format("{} includes itself", file.string()), "Break the circle."});
    }
    if (open_.size() == kMaxIncludeDepth || ++num_files_ > kMaxFiles) {
      throw UserError(
          {included_at_, format("expected at most {} files, {} deep, got more", kMaxFiles, kMaxIncludeDepth), {}});
    }
    open_.push_back(same);
    Node node = read_yaml(read_included(file), std::make_shared<std::string>(file.string()), problems_);
    require_map(node);
    node = with_includes(std::move(node), file.parent_path());
    open_.pop_back();
    return node;
  }

 private:
  std::string read_included(const std::filesystem::path& file) const {
    try {
      return read_file(file);
    } catch (const UserError& error) {
      if (included_at_.empty()) throw;
      const Problem& problem = error.problems().front();
      throw UserError({included_at_, format("include {}: {}", problem.place, problem.message), problem.cure});
    }
  }

  Node with_includes(Node node, const std::filesystem::path& folder) {
    const Node* found = node.find("include");
    if (!found) return node;
    const Node list = *found;
    std::erase_if(node.members, [](const Node::Member& member) { return member.key == "include"; });
    Node merged;
    for (const Node& item : paths(list)) {
      included_at_ = item.origin.text() + ": include";
      merge(merged, read((folder / item.scalar).lexically_normal()), true);
    }
    merge(merged, std::move(node), true);
    return merged;
  }

  static std::vector<Node> paths(const Node& list) {
    const std::vector<Node> items = list.kind == Node::Kind::kList ? list.items : std::vector{list};
    for (const Node& item : items) {
      if (item.kind == Node::Kind::kScalar && !item.scalar.empty()) continue;
      throw UserError({item.origin.text() + ": include", format("expected a list of paths, got {}", item.text()),
                       "Write include: [file.yaml]."});
    }
    return items;
  }

  std::vector<Problem>& problems_;
  std::vector<std::filesystem::path> open_;  ///< from the first file to the one being read
  std::string included_at_;                  ///< the place of the include being followed
  int num_files_ = 0;
};

Tree with_overrides(Tree tree, const std::vector<std::string>& overrides) {
  for (const auto& text : overrides) apply_override(tree, text);
  return tree;
}

}  // namespace

void merge(Node& base, Node later, bool is_top) {
  if (base.kind != Node::Kind::kMap || later.kind != Node::Kind::kMap) {
    base = std::move(later);
    return;
  }
  if (!is_top && changes_name(base, later)) start_afresh(base, later.origin);
  if (later.origin.kind == Origin::Kind::kFile) base.origin = later.origin;
  for (auto& member : later.members) {
    if (auto* old = base.find_member(member.key)) {
      old->origin = member.origin;
      merge(old->value, std::move(member.value));
    } else {
      base.members.push_back(std::move(member));
    }
  }
}

Tree load(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  Tree tree;
  tree.root = FileReader(tree.problems).read(file);
  return with_overrides(std::move(tree), overrides);
}

Tree load_text(std::string_view text, const std::string& name, const std::vector<std::string>& overrides) {
  Tree tree;
  tree.root = read_yaml(text, std::make_shared<std::string>(name), tree.problems);
  require_map(tree.root);
  if (const Node* include = tree.root.find("include")) {
    throw UserError({include->origin.text(), "an embedded config cannot include files", {}});
  }
  return with_overrides(std::move(tree), overrides);
}

}  // namespace unireplk::config
