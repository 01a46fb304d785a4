#include "unireplk/runner/plugins.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "unireplk/io/files.h"
#include "unireplk/runner/builtins.h"
#include "unireplk/runner/plugin_stamp.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

using Entries = std::map<std::string, std::string, std::less<>>;

constexpr size_t kMaxStampBytes = 1024;
constexpr const char* kRebuild = "Build it against the package that this program was installed with.";

/// Of "unireplk plugin stamp; version=0.1.0; compiler=g++ 12".
Entries entries_of(std::string_view stamp) {
  Entries entries;
  for (size_t at = kStampBegin.size(); at < stamp.size();) {
    const size_t end = std::min(stamp.find("; ", at), stamp.size());
    const auto entry = stamp.substr(at, end - at);
    const size_t equals = std::min(entry.find('='), entry.size());
    entries.emplace(entry.substr(0, equals), entry.substr(std::min(equals + 1, entry.size())));
    at = end + 2;
  }
  return entries;
}

void check_stamp(const fs::path& plugin, std::string_view stamp) {
  if (stamp == program_stamp()) return;
  const auto got = entries_of(stamp);
  std::vector<std::string> differences;
  for (const auto& [key, expected] : entries_of(program_stamp())) {
    const auto found = got.find(key);
    const auto& value = found == got.end() ? "nothing" : found->second;
    if (value != expected) differences.push_back(format("{}: expected {}, got {}", key, expected, value));
  }
  throw UserError(
      {plugin.string(), format("a plugin built for another program; {}", fmt::join(differences, "; ")), kRebuild});
}

/// The stamp among the bytes of a library; nothing when it holds none.
std::optional<std::string> stamp_within(std::string_view bytes) {
  const size_t begin = bytes.find(kStampBegin);
  if (begin == std::string_view::npos) return std::nullopt;
  const auto rest = bytes.substr(begin, kMaxStampBytes);
  return std::string(rest.substr(0, rest.find('\0')));
}

Problem no_plugin(const fs::path& plugin, const std::string& what) {
  return {plugin.string(), "expected a plugin, got " + what, "Its source has to say UNIREPLK_PLUGIN(...)."};
}

/// A loaded library. It is never unloaded: what it makes may live as long as the process.
class Library {
 public:
  explicit Library(const fs::path& file) : file_(file), handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!handle_) throw UserError({file.string(), format("cannot be loaded: {}", dlerror()), kRebuild});
  }

  template <class Function>
  Function* function(const char* name) const {
    void* symbol = dlsym(handle_, name);
    if (!symbol) throw UserError(no_plugin(file_, format("a library without {}", name)));
    return reinterpret_cast<Function*>(symbol);
  }

 private:
  const fs::path& file_;
  void* handle_;
};

void register_names(const fs::path& plugin, config::Registries& registries) {
  const auto stamp = stamp_within(io::read_file(plugin));
  if (!stamp) throw UserError(no_plugin(plugin, "a file without the stamp of one"));
  check_stamp(plugin, *stamp);
  const Library library(plugin);
  check_stamp(plugin, library.function<const char*()>("unireplk_plugin_stamp")());
  const auto fill = library.function<void(config::Registries&)>("unireplk_plugin_register");
  try {
    fill(registries);
  } catch (const std::exception& error) {
    throw UserError({plugin.string(), format("cannot register its names: {}", error.what()), "Mend the plugin."});
  }
}

/// Whether a file is the config that `train` wrote into the folder of a run.
bool is_config_of_run(const fs::path& file) {
  return file.filename() == "config.yaml" &&
         (fs::exists(file.parent_path() / "checkpoints") || fs::exists(file.parent_path() / "metrics.jsonl"));
}

/// What `plugins:` lists.
std::vector<config::Node> named_plugins(const config::Tree& tree) {
  const auto* list = tree.root.find("plugins");
  return list ? list->items : std::vector<config::Node>();
}

UserError named_by_run(const config::Node& plugin) {
  return UserError({plugin.origin.text() + ": plugins",
                    format("expected none in the folder of a run, got {}", plugin.text()),
                    "Only your own config or --plugin may name what is loaded; remove it there."});
}

}  // namespace

PluginRegistries::PluginRegistries(const std::vector<fs::path>& plugins) : Registries(builtins()) {
  for (const auto& plugin : plugins) load(plugin);
}

void PluginRegistries::load(const fs::path& plugin) {
  const auto file = fs::weakly_canonical(plugin);  // absolute: a bare name would be looked for elsewhere
  if (std::ranges::find(loaded_, file) != loaded_.end()) return;
  if (!fs::is_regular_file(file))
    throw UserError({plugin.string(), "expected a plugin, got no file", "Check the path."});
  register_names(file, *this);
  loaded_.push_back(file);
}

void PluginRegistries::load_named(const config::Tree& tree) {
  for (const auto& plugin : named_plugins(tree)) {
    const bool is_in_file = plugin.origin.kind == config::Origin::Kind::kFile;
    if (is_in_file && is_config_of_run(*plugin.origin.file)) throw named_by_run(plugin);
    if (!plugin.scalar.empty()) load(plugin.scalar);
  }
}

void refuse_plugins(const config::Tree& tree) {
  for (const auto& plugin : named_plugins(tree)) throw named_by_run(plugin);
}

}  // namespace unireplk::runner
