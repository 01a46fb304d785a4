#include <filesystem>
#include <fstream>

#include "support/catch.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;

/// Lines of the shell blocks of a Markdown file that call the program.
std::vector<std::string> commands_of(const fs::path& page) {
  std::ifstream file(page);
  std::vector<std::string> commands;
  bool in_shell = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("```")) in_shell = line == "```bash";
    if (in_shell && line.starts_with("unireplk ")) commands.push_back(line);
  }
  return commands;
}

/// A folder to type commands in, with the project's configs and data in it. Training is cut to a few steps, and
/// baselines that learn are left out.
class Desk {
 public:
  Desk() {
    for (const char* name : {"configs", "examples"}) fs::create_directory_symlink(fs::absolute(name), folder_ / name);
  }

  Finished type(const std::string& command) const {
    const std::string shell =
        "cd '" + folder_.path().string() + "'\n" + "unireplk() {\n" +
        "  if [ \"$1\" = train ] || [ \"$1\" = verify-resume ]; then\n"
        "    set -- \"$@\" device=cpu train.max_steps=2 train.schedule.warmup_epochs=0\n"
        "  fi\n"
        "  if [ \"$1\" = plan ]; then set -- \"$@\" device=cpu --steps 1 --seconds 0.1; fi\n"
        "  case \"$*\" in train\\ configs/time_series/*)\n"
        "    set -- \"$@\" task.baselines='[repeat]' ;;\n"  // of the run, and so of what measures it
        "  esac\n" +
        "  '" + unireplk_path() + "' \"$@\"\n" + "}\n" + command;
    return run({"/bin/sh", "-c", shell});
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("docs: every printed command works, in the order of its page", "[numeric]") {
  std::vector<fs::path> pages{"README.md"};
  for (const auto& entry : fs::directory_iterator("docs")) {
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  }
  size_t count = 0;
  for (const auto& page : pages) {
    const Desk desk;
    for (const auto& command : commands_of(page)) {
      ++count;
      const auto finished = desk.type(command);
      INFO(page.string() << ": " << command << '\n' << finished.err);
      CHECK(finished.exit_code == 0);
    }
  }
  CHECK(count >= 10);
}

TEST_CASE("docs: every link to a file leads to one") {
  std::vector<fs::path> pages{"README.md", "CONTRIBUTING.md"};
  for (const auto& entry : fs::directory_iterator("docs")) {
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  }
  for (const auto& page : pages) {
    std::ifstream file(page);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    for (size_t at = text.find("]("); at != std::string::npos; at = text.find("](", at + 1)) {
      const auto target = text.substr(at + 2, text.find_first_of(")#", at + 2) - at - 2);
      if (target.empty() || target.starts_with("http")) continue;
      INFO(page.string() << ": " << target);
      CHECK(fs::exists(page.parent_path() / target));
    }
  }
}

}  // namespace unireplk::test
