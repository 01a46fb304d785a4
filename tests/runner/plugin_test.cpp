#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using nlohmann::json;

constexpr const char* kConfig = "examples/plugin/strokes.yaml";

void must_run(const std::vector<std::string>& arguments) {
  const auto finished = run(arguments);
  INFO(finished.out << finished.err);
  REQUIRE(finished.exit_code == 0);
}

/// The package of this build, installed, and the example of a plugin built against it as a user would, but quicker.
class Workshop {
 public:
  Workshop() {
    must_run({UNIREPLK_CMAKE, "--install", UNIREPLK_BUILD, "--prefix", prefix().string()});
    must_run({UNIREPLK_CMAKE, "-S", "examples/plugin", "-B", build().string(), "-G", "Ninja",
              "-DCMAKE_PREFIX_PATH=" + prefix().string(), "-DCMAKE_CXX_COMPILER=" UNIREPLK_COMPILER_PATH,
              "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"});
    must_run({UNIREPLK_CMAKE, "--build", build().string()});
  }

  fs::path prefix() const { return folder_ / "prefix"; }
  fs::path build() const { return folder_ / "build"; }
  fs::path plugin() const { return build() / "strokes.so"; }
  fs::path run_folder() const { return folder_ / "strokes"; }
  fs::path file(const std::string& name) const { return folder_ / name; }

  /// The installed program.
  Finished program(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), (prefix() / "bin" / "unireplk").string());
    return run(arguments);
  }

  json line_of(const std::vector<std::string>& arguments) const {
    const auto finished = program(arguments);
    INFO(finished.err);
    REQUIRE(finished.exit_code == 0);
    return json::parse(finished.out);
  }

  Finished with_plugin(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--plugin", plugin().string()});
    return program(arguments);
  }

  /// The plugin with `from` replaced by `to`, as long, in its bytes.
  std::string changed_plugin(const std::string& from, const std::string& to) const {
    auto bytes = content(plugin());
    const size_t at = bytes.find(from);
    REQUIRE(at != std::string::npos);
    REQUIRE(from.size() == to.size());
    std::ofstream(file("changed.so"), std::ios::binary) << bytes.replace(at, from.size(), to);
    return file("changed.so").string();
  }

 private:
  TemporaryFolder folder_;
};

void check_refused(const Finished& finished, const std::string& message) {
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains(message));
}

void check_names(const Workshop& shop) {
  const auto listed = shop.line_of({"--plugin", shop.plugin().string(), "--json", "list"});
  CHECK(listed["data"]["strokes"] == "Lines drawn by pen, from a text file.");
  CHECK(listed["pipelines"].contains("strokes"));
  CHECK(listed["data"].contains("idx"));
  CHECK_THAT(shop.with_plugin({"config", "schema"}).out, Contains("Most that training turns a stroke by"));
  CHECK_FALSE(shop.line_of({"--json", "list"})["data"].contains("strokes"));

  const auto named = "plugins=[" + shop.plugin().string() + "]";
  CHECK(shop.program({"config", "check", kConfig, named}).exit_code == 0);
  check_refused(shop.program({"config", "check", kConfig, named, "data.pipeline.size=4", "data.train.files=x"}),
                "command line: data.pipeline.size: expected an integer in [8, 1024], got 4");
  check_refused(shop.program({"config", "check", kConfig, "plugins=[]"}), "no data source \"strokes\"");
}

/// Train by the plugin that the user's own config names; resume by --plugin.
void check_training(const Workshop& shop) {
  const std::vector<std::string> settings{"output=" + shop.run_folder().parent_path().string(), "device=cpu",
                                          "threads=1"};
  auto first = settings;
  first.insert(first.begin(),
               {"train", kConfig, "--json", "plugins=[" + shop.plugin().string() + "]", "train.time_budget=1000"});
  const auto trained = shop.line_of(first);
  CHECK(trained["finished"] == true);
  CHECK(trained["best"] > 70);  // percent; four classes
  CHECK_THAT(content(shop.run_folder() / "config.yaml"), Contains("plugins: []"));

  const auto config = (shop.run_folder() / "config.yaml").string();
  CHECK(shop.with_plugin({"train", config, "--resume"}).exit_code == 0);
  CHECK(shop.with_plugin({"eval", shop.run_folder().string()}).exit_code == 0);
  const auto without = shop.program({"eval", shop.run_folder().string()});
  check_refused(without, "no data source \"strokes\"");
  check_refused(without, "If a plugin adds it, pass --plugin FILE.");
}

void check_deploy_file(const Workshop& shop) {
  const auto deploy = shop.file("strokes.safetensors").string();
  REQUIRE(shop.with_plugin({"export", shop.run_folder().string(), "--output", deploy}).exit_code == 0);
  CHECK(content(deploy).find("strokes.so") == std::string::npos);
  const auto stroke = shop.file("stroke.txt");
  std::ofstream(stroke) << "unknown 0.3,0.3 0.7,0.4 0.4,0.7 0.3,0.3\n";
  CHECK_THAT(shop.with_plugin({"predict", deploy, stroke.string()}).out, Contains("triangle"));
  check_refused(shop.program({"predict", deploy, stroke.string()}),
                deploy +
                    ": pipeline: needs the pipeline \"strokes\", which this program does not have. If a plugin adds "
                    "it, pass --plugin FILE.");
}

/// Neither a run's folder nor what is made of it makes the program load anything.
void check_run_names_none(const Workshop& shop) {
  const auto config = shop.run_folder() / "config.yaml";
  auto text = content(config);
  text.replace(text.find("plugins: []"), 11, "plugins: [" + shop.plugin().string() + "]");
  std::ofstream(config) << text;
  const auto message = "plugins: expected none in the folder of a run, got";
  check_refused(shop.program({"eval", shop.run_folder().string()}), message);
  check_refused(shop.program({"inspect", shop.run_folder().string()}), message);
  check_refused(shop.program({"train", config.string(), "--resume"}), message);
  const auto outer = shop.file("outer.yaml");
  std::ofstream(outer) << "include: [" << config.string() << "]\n";
  check_refused(shop.program({"config", "check", outer.string()}), message);
}

void check_what_is_no_plugin(const Workshop& shop) {
  const auto list = [&](const std::string& plugin) { return shop.program({"--plugin", plugin, "list"}); };
  check_refused(list("no/such.so"), "no/such.so: expected a plugin, got no file");
  check_refused(list("examples/plugin/train.txt"), "got a file without the stamp of one");
  const auto bytes = content(shop.plugin());
  std::ofstream(shop.file("stamp.so"), std::ios::binary) << bytes.substr(bytes.find("unireplk plugin stamp; "));
  check_refused(list(shop.file("stamp.so").string()), "cannot be loaded: ");
  const auto old = list(shop.changed_plugin("; version=0.", "; version=9."));
  check_refused(old, "a plugin built for another program; version: expected 0.1.0, got 9.1.0. Build it against the");
  check_refused(list(shop.changed_plugin("; libtorch=2", "; libtorch=1")), "; libtorch: expected 2");
  check_refused(list(shop.changed_plugin("; compiler=", "; combiner=")), "got nothing");
  check_refused(list(shop.changed_plugin("unireplk_plugin_register", "unireplk_plugin_registar")),
                "got a library without unireplk_plugin_register");
  fs::copy_file(shop.plugin(), shop.file("twin.so"));
  check_refused(shop.with_plugin({"--plugin", shop.file("twin.so").string(), "list"}),
                "\"strokes\" is registered twice");
  CHECK(shop.with_plugin({"--plugin", shop.plugin().string(), "list"}).exit_code == 0);  // the same once more
}

}  // namespace

TEST_CASE("plugin: the example, built against the installed package, trains, resumes and predicts", "[numeric]") {
  const Workshop shop;
  check_names(shop);
  check_training(shop);
  check_deploy_file(shop);
  check_run_names_none(shop);
  check_what_is_no_plugin(shop);
}

}  // namespace unireplk::test
