#include <fstream>
#include <regex>

#include "support/catch.h"
#include "support/process.h"

namespace unireplk::test {
namespace {

using Catch::Matchers::Contains;

/// What the rows of docs/recipe.md say to write: the second column, in backticks.
struct Recipe {
  Recipe() {
    const std::regex row(R"(^\| `[^|]*\| (refused: )?`([^|]*)` \|.*$)"), without(R"(^\| `[^|]*\| none \| [^|]+ \|$)");
    std::ifstream file("docs/recipe.md");
    for (std::string line; std::getline(file, line);) {
      std::smatch found;
      if (std::regex_match(line, found, row)) {
        (found[1].matched ? refused : taken).push_back(found[2]);
      } else if (line.starts_with("| `")) {
        INFO(line);
        CHECK(std::regex_match(line, without));  // neither a key nor refused: it says why
      }
    }
  }

  std::vector<std::string> taken, refused;
};

Finished check(const std::string& override) {
  return unireplk({"config", "check", "configs/image/imagenet_t.yaml", override});
}

}  // namespace

TEST_CASE("recipe: every option of the official trainer is a key, or refused in words") {
  const Recipe recipe;
  CHECK(recipe.taken.size() >= 40);
  for (const auto& override : recipe.taken) {
    const auto finished = check(override);
    INFO(override << '\n' << finished.err);
    CHECK(finished.exit_code == 0);
  }
  CHECK(recipe.refused.size() >= 2);
  for (const auto& override : recipe.refused) {
    INFO(override);
    const auto finished = check(override);
    CHECK(finished.exit_code == 2);
    CHECK_THAT(finished.err, Contains(override.substr(0, override.find('='))));
  }
}

}  // namespace unireplk::test
