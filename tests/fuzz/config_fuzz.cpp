#include "config/sample_config.h"
#include "fuzz/words.h"
#include "unireplk/core/error.h"

namespace unireplk::test {
namespace {

/// A file may have mistakes (UserError); that it breaks a contract of the program is a bug. Past the header: it is
/// YAML, and is held to a struct.
bool try_config(std::span<const std::byte> bytes) {
  static const config::Registries known = registries();
  config::Tree tree;
  try {
    tree = config::load_text(text_of(bytes), "fuzz.yaml");
  } catch (const UserError&) {
    return false;
  }
  try {
    config::parse<Sample>(tree, known);
  } catch (const UserError&) {
    return true;
  }
  return true;
}

/// Other words. What is no YAML becomes `scales` of its first words.
void change_config(Bytes& bytes, const Change&, std::mt19937& random) {
  std::string text(text_of(bytes));
  if (!try_config(bytes)) {
    auto words = words_of(text);
    words.resize(std::min<size_t>(words.size(), 16));
    std::string map = "scales:\n";
    for (const auto& [at, size] : words) map += format("  k{}: {}\n", at, std::string_view(text).substr(at, size));
    text = map;
  }
  swap_words(text, random);
  put_text(bytes, 0, bytes.size(), text);
}

}  // namespace

const Target kTarget{.try_bytes = try_config, .change_within = change_config};

}  // namespace unireplk::test
