#pragma once

#include <filesystem>
#include <vector>

#include "unireplk/config/registry.h"
#include "unireplk/config/tree.h"

namespace unireplk::runner {

/// The builtins, and what plugins add to them. A plugin stays loaded until the process ends.
class PluginRegistries : public config::Registries {
 public:
  /// Builtins and these plugins. \throws UserError as load() does.
  explicit PluginRegistries(const std::vector<std::filesystem::path>& plugins = {});

  /// Add what a plugin registers; nothing when it is loaded already. Its stamp is read from the file before the file is
  /// loaded, for loading runs code of it, and is asked for once more before it may register anything.
  /// \throws UserError when it is no plugin, was built for another program, or registers what cannot be.
  void load(const std::filesystem::path& plugin);

  /// Load what `plugins:` of a config names. Of a value that is no list of texts nothing is loaded: parsing tells.
  /// \throws UserError as load() does, and when the config of a run names a plugin: only users do, in their own file or
  ///         on the command line.
  void load_named(const config::Tree& tree);

 private:
  std::vector<std::filesystem::path> loaded_;
};

/// \throws UserError when the tree, which was read from a run's folder, names plugins.
void refuse_plugins(const config::Tree& tree);

}  // namespace unireplk::runner
