#include "unireplk/config/tree.h"

#include <fstream>

#include "config/sample_config.h"
#include "support/catch.h"
#include "unireplk/config/parse.h"

using namespace unireplk;
using config::load;
using config::load_text;
using test::messages;
using test::registries;
using test::Sample;

namespace {

/// A folder that vanishes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "unireplk_config_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

Sample with(const std::string& yaml, const std::vector<std::string>& overrides) {
  return config::parse<Sample>(load_text(yaml, "a.yaml", overrides), registries());
}

std::vector<std::string> override_problems(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return messages([&] { with(yaml, overrides); });
}

}  // namespace

TEST_CASE("include: merges deeply, the later wins, lists are replaced") {
  const Folder folder;
  folder.write("base/one.yaml", "root: one\nlr: 1\nsizes: [1, 2]\ninner: {depth: 3, width: 9}");
  folder.write("base/two.yaml", "include: three.yaml\nlr: 2\ncount: 2");
  folder.write("base/three.yaml", "lr: 3\ncount: 3\nseed: 3");
  const auto file = folder.write("a.yaml", "include: [base/one.yaml, base/two.yaml]\nsizes: [7]\ninner: {depth: 4}");
  const auto tree = load(file);
  const auto sample = config::parse<Sample>(tree, registries());
  CHECK(sample.root == "one");
  CHECK(sample.lr == 2);
  CHECK(sample.count == 2);
  CHECK(sample.seed == 3);
  CHECK(sample.sizes == std::vector<int64_t>{7});
  CHECK(sample.inner.depth == 4);
  CHECK(sample.inner.width == 9);
  CHECK(tree.root.find("seed")->origin.text() == folder / "base/three.yaml:3:7");
}

TEST_CASE("include: a choice of something else starts afresh") {
  const Folder folder;
  folder.write("base.yaml", "root: x\noptimizer: {name: sgd, momentum: 0.5}");
  const auto other = folder.write("a.yaml", "include: [base.yaml]\noptimizer: {name: adamw, lr: 2}");
  CHECK(config::parse<Sample>(load(other), registries()).optimizer.make(1) == "adamw 2");
  const auto same = folder.write("b.yaml", "include: [base.yaml]\noptimizer: {name: sgd}");
  CHECK(config::parse<Sample>(load(same), registries()).optimizer.make(1) == "sgd 0.5");
  CHECK(config::parse<Sample>(load(same, {"optimizer.lr=3", "optimizer.name=adamw"}), registries()).optimizer.make(1) ==
        "adamw 3");
}

TEST_CASE("include: the name of the run is no choice") {
  const Folder folder;
  folder.write("base.yaml", "name: base\nlr: 1");
  CHECK(load(folder.write("a.yaml", "include: [base.yaml]\nname: a")).root.find("lr"));
  CHECK(load(folder.write("b.yaml", "name: a\nlr: 1"), {"name=b"}).root.find("lr"));
}

TEST_CASE("include: mistakes are located") {
  const Folder folder;
  const auto missing = folder.write("a.yaml", "lr: 1\ninclude: [none.yaml]");
  CHECK(messages([&] { load(missing); }) ==
        std::vector<std::string>{folder / "a.yaml:2:11: include: include " + (folder / "none.yaml") +
                                 ": expected a YAML file, got nothing. Check the path."});
  folder.write("b.yaml", "include: [c.yaml]");
  const auto circle = folder.write("c.yaml", "include: [b.yaml]");
  CHECK(messages([&] { load(circle); }) ==
        std::vector<std::string>{folder / "b.yaml:1:11: include: " + (folder / "c.yaml") +
                                 " includes itself. Break the circle."});
  CHECK(messages([&] { load(folder.write("d.yaml", "include: [{}]")); }) ==
        std::vector<std::string>{folder / "d.yaml:1:11: include: expected a list of paths, got a map. Write include: "
                                          "[file.yaml]."});
  CHECK(messages([&] { load(folder / "e.yaml"); }) ==
        std::vector<std::string>{folder / "e.yaml: expected a YAML file, got nothing. Check the path."});
  CHECK(messages([&] { load(folder / ""); }) ==
        std::vector<std::string>{folder / ": expected a YAML file, got a folder. A run's config is its config.yaml."});
  CHECK(messages([&] { load_text("include: [a]", "x"); }) ==
        std::vector<std::string>{"x:1:10: an embedded config cannot include files."});
}

TEST_CASE("include: deep chains end") {
  const Folder folder;
  for (int i = 0; i < 20; ++i) {
    folder.write(format("{}.yaml", i), format("include: [{}.yaml]", i + 1));
  }
  folder.write("20.yaml", "lr: 1");
  CHECK(messages([&] { load(folder / "0.yaml"); })[0].find("expected at most 64 files, 16 deep") != std::string::npos);
}

TEST_CASE("override: keys, list items, new maps, YAML values") {
  const auto sample = with("root: x\nlist: [{depth: 1}, {depth: 2}]\noptimizer: {name: adamw}\nlimit: 3",
                           {"lr=2e-3", "list[1].depth=5", "list.0.width=3", "inner.depth=1", "sizes=[3, 4]",
                            "optimizer.inner.name=sgd", "title=\"\"", "limit=", "flag=true", "scales={a: 1}"});
  CHECK(sample.lr == 2e-3);
  CHECK(sample.list[1].depth == 5);
  CHECK(sample.list[0].width == 3);
  CHECK(sample.list[0].depth == 1);
  CHECK(sample.inner.depth == 1);
  CHECK(sample.sizes == std::vector<int64_t>{3, 4});
  CHECK(sample.optimizer.config<test::AdamWConfig>().inner.name() == "sgd");
  CHECK_FALSE(sample.limit);
  CHECK(sample.flag);
  CHECK(sample.scales.at("a") == 1);
}

TEST_CASE("override: mistakes name the command line and the key") {
  CHECK(override_problems("root: x", {"lr=-1", "lrr=1", "lr", "=1", "a..b=1", "list[0].depth=1", "sizes=[1"}).size() ==
        7);
  CHECK(override_problems("root: x", {"lr=-1"}) ==
        std::vector<std::string>{"command line: lr: expected a number > 0, got -1."});
  CHECK(
      override_problems("root: x", {"inner.dpth=1"}) ==
      std::vector<std::string>{R"(command line: inner.dpth: unknown key. Did you mean "depth"? Known: depth, width.)"});
  CHECK(override_problems("root: x\nsizes: [1]", {"sizes[1]=3"}) ==
        std::vector<std::string>{R"(command line: sizes[1]: expected an index below 1, got "1".)"});
  CHECK(override_problems("root: x", {"lr"}) ==
        std::vector<std::string>{
            R"(command line: lr: expected key.path=value, got "lr". Write for example train.optimizer.lr=0.001.)"});
}
