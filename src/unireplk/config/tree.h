#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/config/node.h"
#include "unireplk/core/error.h"

namespace unireplk::config {

/// A config as written: files merged, overrides applied, nothing checked against a struct yet.
struct Tree {
  Node root;
  std::vector<Problem> problems;       ///< found while reading; parse() reports them with its own
  std::string unknown_name_cure = {};  ///< what else to do about a `name:` that no registry has, one sentence
};

/// Read a YAML file with what it includes, then apply overrides.
///
/// `include: [a.yaml, b.yaml]` at the top of a file names files relative to it. Maps are merged deeply, the
/// later file wins over the earlier and the including file over all; lists and scalars are replaced. A map
/// below the top whose `name` changes is a choice of something else: it starts afresh, without the keys that
/// belonged to the earlier name.
///
/// \param overrides  "train.optimizer.lr=0.01", "data.list[0].root=x" or "data.list.0.root=x"; the value is
/// YAML. \throws UserError when a file cannot be read or is no YAML; on include cycles.
Tree load(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});

/// The same for a text: a config embedded in a file. JSON is YAML. It may not include files.
/// \param name  stands for the file name in messages.
Tree load_text(std::string_view text, const std::string& name, const std::vector<std::string>& overrides = {});

/// Deep-merge `later` into `base`, under the rules of load().
/// \param is_top  the nodes are the tops of files, where `name` is the name of the run.
void merge(Node& base, Node later, bool is_top = false);

/// Apply one "a.b.c=value"; mistakes go to tree.problems.
void apply_override(Tree& tree, const std::string& text);

}  // namespace unireplk::config
