#include "unireplk/config/reader.h"

#include <chrono>

#include "config/sample_config.h"
#include "support/catch.h"
#include "unireplk/config/tree.h"

using namespace unireplk;
using config::load_text;
using test::messages;

namespace {

std::string only_problem(const std::string& text) {
  const auto found = messages([&] { load_text(text, "a.yaml"); });
  REQUIRE(found.size() == 1);
  return found[0];
}

std::string repeated(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("reader: syntax errors are located") {
  CHECK(only_problem("a: 1\nb: [1, 2\nc: 3\n").starts_with("a.yaml:"));
  CHECK(only_problem("a: 1\n  b: 2\n").starts_with("a.yaml:2:4: YAML syntax: "));
  for (const char* text : {"a: \"x", "a: \"x\n", "a: 'x\nb: 2\n", "a: {b: \"x\n"}) {
    CHECK(only_problem(text).find("YAML syntax") != std::string::npos);
  }
  CHECK(only_problem("a: 'x\nb: 2").find("Close the quote that was opened before.") != std::string::npos);
  CHECK(only_problem("a: *b").starts_with("a.yaml:1:"));
}

TEST_CASE("reader: a key that comes twice is one mistake among others") {
  const auto tree = load_text("a: 1\nb: {c: 1, c: 2}\na: 3", "a.yaml");
  REQUIRE(tree.problems.size() == 2);
  CHECK(tree.problems[0].text() == R"(a.yaml:2:11: the key "c" comes twice. Its first value is at a.yaml:2:8.)");
  CHECK(tree.problems[1].place == "a.yaml:3:1");
}

TEST_CASE("reader: document marks and comments may stand around") {
  CHECK(load_text("# c\n---\na: |\n  x\n  y\n...\n", "a.yaml").root.find("a")->scalar == "x\ny\n");
  CHECK(load_text("a: 1\n...\n# c\n", "a.yaml").root.find("a")->scalar == "1");
  CHECK(load_text("# only a comment\n", "a.yaml").root.kind == config::Node::Kind::kNull);
  CHECK(load_text("a: >-\n  x\n  y", "a.yaml").root.find("a")->scalar == "x y");
  CHECK(load_text("{\"a\": [1, {\"b\": null}]}", "a.yaml").root.find("a")->items.size() == 2);
  CHECK(load_text("a: 1\r\nb: x\r\n", "a.yaml").root.find("b")->scalar == "x");
}

TEST_CASE("reader: only plain YAML documents") {
  CHECK(only_problem("a: !!python/object x").find("expected no YAML tag") != std::string::npos);
  CHECK(only_problem("a: 1\n---\nb: 2").find("expected one YAML document") != std::string::npos);
  CHECK(only_problem("[a]: 1") == "a.yaml:1:1: expected a text as key, got a list. Quote the key.");
  CHECK(only_problem("~: 1").find("expected a text as key") != std::string::npos);
  CHECK(only_problem("- a\n- b") == "a.yaml:1:1: expected a map of keys, got a list.");
  CHECK(only_problem(std::string("a: 1\nb: \0", 9)).starts_with("a.yaml:2:4: expected text, got the byte 0."));
  CHECK(only_problem("\x7f\x45LF\x02\x01").starts_with("a.yaml:1:5: expected text"));
}

TEST_CASE("reader: aliases are copies, within bounds") {
  const auto tree = load_text("a: &x {k: [1, 2]}\nb: *x", "a.yaml");
  CHECK(tree.root.find("b")->find("k")->items.size() == 2);
  CHECK(only_problem("a: &x [*x]").find("an alias inside the value it names") != std::string::npos);
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    bomb += format("a{}: &a{} [{}*a{}]\n", i, i, repeated(format("*a{}, ", i - 1), 8), i - 1);
  }
  CHECK(only_problem(bomb).find("expected at most 8 MiB of values") != std::string::npos);
  std::string fat = "a: &a " + std::string(500000, 'x') + "\nb: [" + repeated("*a, ", 1000) + "]";
  CHECK(only_problem(fat).find("expected at most 8 MiB of values") != std::string::npos);
}

TEST_CASE("reader: hostile sizes end quickly") {
  const auto start = std::chrono::steady_clock::now();
  CHECK(only_problem("a: " + std::string(300000, '[')).starts_with("a.yaml:1:"));
  CHECK(only_problem("a: " + repeated("{a: ", 100000)).starts_with("a.yaml:1:"));
  CHECK(only_problem(repeated("- ", 200000)).starts_with("a.yaml:1:"));
  CHECK(only_problem(repeated("? ", 200000)).starts_with("a.yaml:1:"));
  CHECK(only_problem(std::string(config::kMaxFileBytes + 1, 'x')).find("expected at most 1 MiB") != std::string::npos);
  CHECK(messages([] { load_text("a: [" + repeated("1, ", 50000) + "]", "a.yaml"); }).empty());
  std::string keys;
  for (int i = 0; i < 90000; ++i) keys += format("k{}: 1\n", i);
  CHECK(only_problem(keys) == "a.yaml:10001:1: expected at most 10000 keys in a map, got more.");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}
