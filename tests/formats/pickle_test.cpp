#include "unireplk/formats/pickle.h"

#include "formats/torch_bytes.h"
#include "support/catch.h"

using namespace unireplk;
using namespace unireplk::formats;
using test::little;

namespace {

bool only_namespace(std::string_view global) { return global == "argparse.Namespace"; }

Result<Pickle> parsed_pickle(const std::string& bytes) {
  return parse_pickle(std::as_bytes(std::span(bytes)), "a.pkl", only_namespace);
}

/// A value as Python would print it.
std::string show(const Pickle& pickle, PickleId id, int depth = 0) {
  if (depth > 5) return "...";
  const auto& value = pickle[id];
  const auto list = [&] {
    std::string out;
    for (const PickleId item : value.items) out += show(pickle, item, depth + 1) + " ";
    return out;
  };
  switch (value.kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return value.integer ? "True" : "False";
    case PickleKind::kInt:
      return std::to_string(value.integer);
    case PickleKind::kFloat:
      return format("{}", value.real);
    case PickleKind::kText:
      return "'" + value.text + "'";
    case PickleKind::kBytes:
      return "b'" + value.text + "'";
    case PickleKind::kBigInt:
      return "big";
    case PickleKind::kTuple:
      return "(" + list() + ")";
    case PickleKind::kList:
      return "[" + list() + "]";
    case PickleKind::kDict:
      return "{" + list() + "}";
    case PickleKind::kGlobal:
      return value.text;
    case PickleKind::kCall:
      return "call" + list();
    case PickleKind::kPersistent:
      return "storage" + list();
  }
  return "";
}

std::string pickle_outcome(const std::string& bytes) {
  const auto pickle = parsed_pickle(bytes);
  return pickle ? show(*pickle, pickle->root) : pickle.problem().text();
}

/// A value pickled with protocol 2.
std::string of(const std::string& value) { return pickle_outcome(test::op::pickle(value)); }

}  // namespace

TEST_CASE("pickle: values of every kind") {
  CHECK(of("N") == "None");
  CHECK(of("\x88") == "True");
  CHECK(of("\x89") == "False");
  CHECK(of("K\xff") == "255");
  CHECK(of("M\x01\x02") == "513");
  CHECK(of("J\xfe\xff\xff\xff") == "-2");
  CHECK(of(std::string("\x8a\0", 2)) == "0");
  CHECK(of("\x8a\x01\xff") == "-1");
  CHECK(of("\x8a\x03" + little(0x7fffff, 3)) == "8388607");
  CHECK(of("\x8a\x08" + little(uint64_t{1} << 63, 8)) == "-9223372036854775808");
  CHECK(of("\x8a\x0a" + std::string(10, '\1')) == "big");
  CHECK(of(std::string("G\x3f\xf8\0\0\0\0\0\0", 9)) == "1.5");
  CHECK(of(test::op::text("Größe")) == "'Größe'");
  CHECK(of("U\x02hi") == "'hi'");
  CHECK(of("U\x01\xff") == "b'\xff'");
  CHECK(of(")") == "()");
  CHECK(of("NN\x86") == "(None None )");
  CHECK(of("](K\1K\2e") == "[1 2 ]");
  CHECK(of("]K\1a") == "[1 ]");
  CHECK(of("}(U\1aK\1U\1bK\2u") == "{'a' 1 'b' 2 }");
  CHECK(of("}U\1aK\1s") == "{'a' 1 }");
  CHECK(of("ccollections\nOrderedDict\n)RU\1aK\1s") == "{'a' 1 }");
  CHECK(of("ccollections\nOrderedDict\n](](U\1aK\1e](U\1bK\2ee\x85R") == "{'a' 1 'b' 2 }");
  CHECK(of("K\7q\5h\5\x86") == "(7 7 )");
  CHECK(of("(K\1K\2t0K\3") == "3");
}

TEST_CASE("pickle: protocol 4") {
  CHECK(pickle_outcome("\x80\x04\x95" + little(99, 8) + "\x8c\x01x\x94" + std::string("h\0\x86.", 4)) == "('x' 'x' )");
  CHECK(pickle_outcome("\x80\x04\x8c\x08"
                       "argparse\x8c\x09"
                       "Namespace\x93)\x81}\x8c\x01"
                       "aK\1sb.") == "callargparse.Namespace () {'a' 1 } ");
  CHECK(pickle_outcome("\x80\x04"
                       "C\x02zz.") == "b'zz'");
}

TEST_CASE("pickle: the last value of a key counts, and the bytes of one pickle are told") {
  const auto pickle = parsed_pickle(test::op::pickle("}(U\1aK\1U\1aK\2u") + "more");
  REQUIRE(pickle);
  CHECK(pickle->bytes == test::op::pickle("}(U\1aK\1U\1aK\2u").size());
  REQUIRE(pickle->find(pickle->root, "a"));
  CHECK((*pickle)[*pickle->find(pickle->root, "a")].integer == 2);
  CHECK(pickle->find(pickle->root, "b") == nullptr);
}

TEST_CASE("pickle: nothing that runs is let in, whatever its name") {
  using Catch::Contains;
  CHECK_THAT(of("cposix\nsystem\nU\4true\x85R"), Contains("it asks for posix.system"));
  CHECK_THAT(of("cos\nsystem\n"), Contains("it asks for os.system"));
  CHECK_THAT(of("cbuiltins\neval\n"), Contains("it asks for builtins.eval"));
  CHECK_THAT(pickle_outcome("\x80\x04\x8c\x05posix\x8c\x06system\x93."), Contains("it asks for posix.system"));
  CHECK_THAT(of("c\n\n"), Contains("it asks for ."));
  CHECK_THAT(of("c" + std::string(400, 'a')), Contains("ends with its line"));
  CHECK_THAT(of("c" + std::string(200, 'a') + "\n" + std::string(200, 'b') + "\n"), Contains("too long"));
  CHECK_THAT(of("(U\1ai"), Contains("opcode 0x69"));    // INST
  CHECK_THAT(of("U\1aP"), Contains("opcode 0x50"));     // PERSID
  CHECK_THAT(of("\x82\x01"), Contains("opcode 0x82"));  // EXT1: the registry of extensions
  CHECK_THAT(of("\x92"), Contains("opcode 0x92"));      // NEWOBJ_EX
  CHECK_THAT(of("U\1a)R"), Contains("calls a text"));
  CHECK_THAT(of("cargparse\nNamespace\nNR"), Contains("without a tuple"));
  CHECK_THAT(of("K\1}b"), Contains("gives a state to an int"));
  CHECK_THAT(of("cargparse\nNamespace\n)R}b}b"), Contains("gives a state to an object"));
}

TEST_CASE("pickle: refuses what breaks the stack, the memo or the text") {
  using Catch::Contains;
  CHECK_THAT(of(""), Contains("empty stack"));
  CHECK_THAT(of("N\x86"), Contains("empty stack"));
  CHECK_THAT(of("N(\x85"), Contains("empty stack"));  // not through a mark
  CHECK_THAT(of("t"), Contains("never began"));
  CHECK_THAT(of("h\5"), Contains("never kept"));
  CHECK_THAT(of("NK\1a"), Contains("adds items to None"));
  CHECK_THAT(of("}(NNNu"), Contains("a key without a value"));
  CHECK_THAT(of("(Nd"), Contains("a key without a value"));
  CHECK_THAT(of("X" + little(0xffffffff, 4)), Contains("expected 4294967295 more bytes"));
  CHECK_THAT(of("\x8d" + little(~uint64_t{0}, 8)), Contains("more bytes"));
  CHECK_THAT(of("X" + little(1, 4) + "\xff"), Contains("not UTF-8"));
  CHECK_THAT(of("\x8b" + little(0x7fffffff, 4)), Contains("an integer of 2147483647 bytes"));
  CHECK_THAT(pickle_outcome("\x80\x06N."), Contains("expected protocol 2 to 5, got 6"));
  CHECK_THAT(of("ccollections\nOrderedDict\nK\1\x85R"), Contains("something odd"));
}

TEST_CASE("pickle: cut short anywhere it is refused") {
  const auto whole = test::op::pickle("ccollections\nOrderedDict\n)R(X" + little(1, 4) + "aK\1U\1bM\1\2u");
  REQUIRE(parsed_pickle(whole));
  for (size_t length = 0; length < whole.size(); ++length) {
    INFO("length " << length);
    CHECK_FALSE(parsed_pickle(whole.substr(0, length)));
  }
}

TEST_CASE("pickle: a loop is data like any other, and growth has a limit") {
  const auto loop = parsed_pickle(test::op::pickle("]q\1h\1a"));  // a list that holds itself
  REQUIRE(loop);
  CHECK((*loop)[loop->root].items == std::vector<PickleId>{loop->root});
  using Catch::Contains;
  CHECK_THAT(of(std::string(kPickleMaxValues + 1, 'N')), Contains("more than"));
  CHECK_THAT(of("N" + std::string(kPickleMaxValues + 1, '2')), Contains("stack grows too high"));
  CHECK_THAT(of(std::string(kPickleMaxValues + 1, '(')), Contains("too many groups"));
  std::string memo = "N";
  for (size_t i = 0; i <= kPickleMaxValues; ++i) memo += "r" + little(i, 4);
  CHECK_THAT(of(memo), Contains("memo grows too large"));
  std::string items = "Nq\1]q\2";
  for (size_t i = 0; i <= kPickleMaxItems; ++i) items += "h\1a";
  CHECK_THAT(of(items), Contains("more than 4194304 items"));
}
