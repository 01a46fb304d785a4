#include "unireplk/formats/torch_file.h"

#include <filesystem>

#include "formats/torch_bytes.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/test_data.h"
#include "unireplk/formats/torch_writer.h"

using namespace unireplk;
using namespace unireplk::formats;
namespace op = unireplk::test::op;
using test::bytes_of_numbers;
using test::content;
using test::torch_legacy;
using test::torch_zip;

namespace {

Result<TorchFile> open(const std::string& file) { return TorchFile::open(std::as_bytes(std::span(file)), "a.pth"); }

/// "name shape strides offset: bytes of its storage", a line a tensor, or the problem.
std::string torch_outcome(const std::string& bytes, const std::string& key = "") {
  const auto file = open(bytes);
  if (!file) return file.problem().text();
  const auto dict = torch_state_dict(*file, key);
  if (!dict) return dict.problem().text();
  std::string out = dict->key.empty() ? "" : "[" + dict->key + "] ";
  for (const auto& [name, tensor] : dict->tensors) {
    const auto storage = file->read(tensor.storage);
    if (!storage) return storage.problem().text();
    out += format("{} {} (", name, name_of(tensor.dtype));
    for (size_t i = 0; i < tensor.shape.size(); ++i) out += format("{}/{} ", tensor.shape[i], tensor.strides[i]);
    out += format(")+{} of {} bytes; ", tensor.offset, storage->bytes().size());
  }
  for (const auto& other : dict->others) out += "not " + other + "; ";
  return out;
}

const std::string kFour = bytes_of_numbers<float>({1, 2, 3, 4});

std::string one_tensor(const std::string& tensor, const std::string& bytes = kFour) {
  return torch_outcome(torch_zip(op::dict({{"w", tensor}}), {{"0", bytes}}));
}

std::string four(int64_t offset, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  return one_tensor(op::tensor(op::storage("0", 4), offset, shape, strides));
}

}  // namespace

TEST_CASE("torch file: views of a storage, in both forms of the file") {
  const auto object = op::dict({{"a", op::tensor(op::storage("0", 4), 0, {2, 2}, {2, 1})},
                                {"b", op::tensor(op::storage("0", 4), 1, {3}, {1})},
                                {"t", op::tensor(op::storage("0", 4), 0, {2, 2}, {1, 2})},
                                {"s", op::tensor(op::storage("0", 4), 3, {}, {})},
                                {"e", op::tensor(op::storage("1", 0), 0, {0, 3}, {3, 1})}});
  const std::string expected =
      "a F32 (2/2 2/1 )+0 of 16 bytes; b F32 (3/1 )+1 of 16 bytes; t F32 (2/1 2/2 )+0 of 16 bytes; "
      "s F32 ()+3 of 16 bytes; e F32 (0/3 3/1 )+0 of 0 bytes; ";
  CHECK(torch_outcome(torch_zip(object, {{"0", kFour}, {"1", ""}})) == expected);
  CHECK(torch_outcome(torch_zip(object, {{"0", kFour}, {"1", ""}}, true)) == expected);
  CHECK(torch_outcome(torch_legacy(object, {{"0", kFour}, {"1", ""}})) == expected);
}

TEST_CASE("torch file: every form of a tensor") {
  const auto older = op::call(op::global("torch._utils", "_rebuild_tensor"),
                              {op::storage("0", 4), op::integer(0), op::integers({4}), op::integers({1})});
  CHECK(one_tensor(older) == "w F32 (4/1 )+0 of 16 bytes; ");
  const auto parameter = op::call(op::global("torch._utils", "_rebuild_parameter"), {older, "\x88", op::hooks()});
  CHECK(one_tensor(parameter) == "w F32 (4/1 )+0 of 16 bytes; ");
  const auto with_state = op::call(op::global("torch._utils", "_rebuild_parameter_with_state"),
                                   {older, "\x88", op::hooks(), op::dict({{"_no_weight_decay", "\x88"}})});
  CHECK(one_tensor(with_state) == "w F32 (4/1 )+0 of 16 bytes; ");
  const auto untyped = op::tuple({op::text("storage"), op::global("torch.storage", "UntypedStorage"), op::text("0"),
                                  op::text("cuda:0"), op::integer(16)}) +
                       "Q";
  const auto newer = op::call(op::global("torch._utils", "_rebuild_tensor_v3"),
                              {untyped, op::integer(1), op::integers({7}), op::integers({1}), "\x89", op::hooks(),
                               op::global("torch", "uint16")});
  CHECK(one_tensor(newer) == "w U16 (7/1 )+1 of 16 bytes; ");
  const auto size = op::call(op::global("torch", "Size"), {op::integers({4})});
  const auto with_size = op::call(op::global("torch._utils", "_rebuild_tensor"),
                                  {op::storage("0", 4), op::integer(0), size, op::integers({1})});
  CHECK(one_tensor(with_size) == "w F32 (4/1 )+0 of 16 bytes; ");
  CHECK(four(0, {1000}, {0}) == "w F32 (1000/0 )+0 of 16 bytes; ");  // as expand() makes it
}

TEST_CASE("torch file: refuses tensors that reach out of their storage") {
  using Catch::Contains;
  CHECK_THAT(four(0, {5}, {1}), Contains("\"w\": the tensor needs 5 elements, its storage has 4"));
  CHECK_THAT(four(1, {4}, {1}), Contains("needs 5 elements"));
  CHECK_THAT(four(4, {}, {}), Contains("needs 5 elements"));
  CHECK_THAT(four(0, {2, 2}, {3, 1}), Contains("needs 5 elements"));
  CHECK_THAT(four(0, {2}, {int64_t{1} << 62}), Contains("elements"));
  CHECK_THAT(four(0, {3}, {int64_t{1} << 62}), Contains("uncountable"));
  CHECK_THAT(four(std::numeric_limits<int64_t>::max(), {2}, {1}), Contains("uncountable"));
  CHECK_THAT(four(std::numeric_limits<int64_t>::max(), {1}, {1}), Contains("uncountable"));
  CHECK_THAT(four(-1, {1}, {1}), Contains("without storage or offset"));
  CHECK_THAT(four(0, {-1}, {1}), Contains("whole numbers >= 0"));
  CHECK_THAT(four(0, {2}, {-1}), Contains("whole numbers >= 0"));
  CHECK_THAT(four(0, {2}, {}), Contains("as many strides as dimensions"));
  CHECK_THAT(four(0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)), Contains("at most 64 dimensions"));
  CHECK_THAT(four(0, {0, int64_t{1} << 62, int64_t{1} << 62}, {0, 0, 0}), Contains("elements"));
}

TEST_CASE("torch file: views may not unfold to more than the file can mean") {
  using Catch::Contains;
  CHECK_THAT(four(0, {int64_t{1} << 40}, {0}), Contains("repeat the file's numbers more than 64 times"));
  CHECK_THAT(four(0, {int64_t{1} << 31, int64_t{1} << 31}, {0, 0}), Contains("elements"));
  // 2^20 floats out of one, many times over: each is small enough, all together are not.
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 20; ++i) {
    many.emplace_back("w" + std::to_string(i), op::tensor(op::storage("0", 4), 0, {1 << 20}, {0}));
  }
  CHECK_THAT(torch_outcome(torch_zip(op::dict(many), {{"0", kFour}})), Contains("\"w16\": its views repeat"));
}

TEST_CASE("torch file: refuses storages that lie or are missing") {
  using Catch::Contains;
  const auto object = [](const std::string& storage) { return op::dict({{"w", op::tensor(storage, 0, {}, {})}}); };
  const auto good = op::storage("0", 4);
  CHECK_THAT(torch_outcome(torch_zip(object(good))), Contains("names storage \"0\", the archive has none"));
  CHECK_THAT(torch_outcome(torch_zip(object(good), {{"0", kFour + "x"}})),
             Contains("storage \"0\" of 4 F32 has 17 bytes"));
  CHECK_THAT(torch_outcome(torch_zip(object(op::storage("0", int64_t{1} << 62)), {{"0", kFour}})),
             Contains("has 16 bytes"));
  CHECK_THAT(torch_outcome(torch_zip(object(op::storage("0", -1)), {{"0", kFour}})),
             Contains("expected storages to be"));
  CHECK_THAT(torch_outcome(torch_zip(object("K\1Q"), {{"0", kFour}})), Contains("expected storages to be"));
  CHECK_THAT(torch_outcome(torch_zip(object(op::storage(std::string(65, '0'), 4)))), Contains("too long"));
  CHECK_THAT(torch_outcome(torch_zip(object(op::storage("0", 4, "float32")), {{"0", kFour}})),
             Contains("no class of storages"));
  CHECK_THAT(torch_outcome(torch_zip(object(op::storage("0", 2, "ComplexFloatStorage")), {{"0", kFour}})),
             Contains("it asks for torch.ComplexFloatStorage"));
  CHECK_THAT(torch_outcome(torch_legacy(object(good), {})), Contains("storage \"0\" is missing"));
  CHECK_THAT(torch_outcome(torch_legacy(object(good), {{"1", kFour}})), Contains("comes twice or belongs to nothing"));
  CHECK_THAT(torch_outcome(torch_legacy(object(good), {{"0", kFour}, {"0", kFour}})), Contains("comes twice"));
  CHECK_THAT(torch_outcome(torch_legacy(object(good), {{"0", kFour + kFour}})),
             Contains("has 8 elements in its place"));
  CHECK_THAT(torch_outcome(torch_legacy(object(good), {{"0", kFour}}) + "x"),
             Contains("1 bytes after the last storage"));
  CHECK_THAT(torch_outcome(torch_legacy(object(op::storage("0", int64_t{1} << 60)), {{"0", kFour}})),
             Contains("needs more bytes"));
}

TEST_CASE("torch file: a file cut short anywhere is refused, in both forms") {
  const auto object = op::dict({{"w", op::tensor(op::storage("0", 4), 0, {4}, {1})}});
  for (const auto& file : {torch_zip(object, {{"0", kFour}}), torch_legacy(object, {{"0", kFour}})}) {
    REQUIRE(open(file));
    for (size_t length = 0; length < file.size(); ++length) {
      INFO("length " << length);
      REQUIRE_FALSE(open(file.substr(0, length)));
    }
  }
}

TEST_CASE("torch file: code is refused by its name, in both forms") {
  const auto object = op::dict({{"w", op::call(op::global("posix", "system"), {op::text("true")})}});
  CHECK_THAT(torch_outcome(torch_zip(object)), Catch::Contains("it asks for posix.system"));
  CHECK_THAT(torch_outcome(torch_legacy(object, {})), Catch::Contains("it asks for posix.system"));
}

TEST_CASE("torch file: tells other files from its own") {
  using Catch::Contains;
  CHECK_THAT(torch_outcome(""), Contains("is no file of torch.save"));
  CHECK_THAT(torch_outcome("PK\3\4"), Contains("no end record"));
  CHECK_THAT(torch_outcome(test::zip_of({{.name = "a/b/data.pkl"}})), Contains("found no FOLDER/data.pkl"));
  CHECK_THAT(torch_outcome(test::zip_of({{.name = "a/data.pkl"}, {.name = "b/data.pkl"}})),
             Contains("two checkpoints"));
  CHECK_THAT(torch_outcome(test::zip_of({{.name = "a/data.pkl"}, {.name = "a/constants.pkl"}})),
             Contains("TorchScript"));
  CHECK_THAT(torch_outcome(test::zip_of(
                 {{.name = "a/data.pkl", .content = op::pickle("}")}, {.name = "a/byteorder", .content = "big"}})),
             Contains("got \"big\""));
  CHECK_THAT(torch_outcome(test::zip_of({{.name = "a/data.pkl", .content = op::pickle("}") + "x"}})),
             Contains("more bytes than its pickle"));
  CHECK_THAT(torch_outcome(std::string(257, 'x') + "ustar" + std::string(300, 'x')), Contains("tar archive"));
  CHECK_THAT(torch_outcome(torch_zip("N")), Contains("expected a dictionary of tensors, the file holds None"));
}

TEST_CASE("torch file: a negated view of numbers is refused") {
  const auto negated = op::call(op::global("torch._utils", "_rebuild_tensor_v2"),
                                {op::storage("0", 4), op::integer(0), op::integers({4}), op::integers({1}), "\x89",
                                 op::hooks(), op::dict({{"neg", "\x88"}})});
  CHECK_THAT(one_tensor(negated), Catch::Contains("negated or conjugated"));
}

TEST_CASE("torch file: finds the weights of a checkpoint") {
  const auto w = op::tensor(op::storage("0", 4), 0, {}, {});
  const auto file = [&](const std::vector<std::string>& keys) {
    std::vector<std::pair<std::string, std::string>> items{{"epoch", "K\3"}};
    for (const auto& key : keys) items.emplace_back(key, op::dict({{"in_" + key, w}}));
    return torch_zip(op::dict(items), {{"0", kFour}});
  };
  const auto starts = [](const std::string& text) { return Catch::StartsWith(text); };
  CHECK_THAT(torch_outcome(file({"model", "model_ema"})), starts("[model_ema] in_model_ema"));
  CHECK_THAT(torch_outcome(file({"state_dict", "state_dict_ema"})), starts("[state_dict_ema] in_state_dict_ema"));
  CHECK_THAT(torch_outcome(file({"model", "state_dict"})), starts("[state_dict] in_state_dict"));
  CHECK_THAT(torch_outcome(file({"module"})), starts("[module] in_module"));
  CHECK_THAT(torch_outcome(file({"model", "model_ema"}), "model"), starts("[model] in_model"));
  CHECK_THAT(torch_outcome(file({"other"})), starts("other.in_other F32 ()+0 of 16 bytes; not epoch: an int; "));
  using Catch::Contains;
  CHECK_THAT(torch_outcome(file({"model"}), "modle"), Contains("expected the key \"modle\", found epoch, model"));
  CHECK_THAT(torch_outcome(file({"model"}), "epoch"), Contains("\"epoch\" is an int"));
  CHECK_THAT(torch_outcome(file({"model"}), "model.in_model"), Contains("\"model.in_model\" is a tensor"));
  const auto deep = torch_zip(op::dict({{"a", op::dict({{"b.c", op::dict({{"w", w}})}})}}), {{"0", kFour}});
  CHECK_THAT(torch_outcome(deep, "a.b.c"), starts("[a.b.c] w F32"));
  CHECK_THAT(torch_outcome(deep), starts("a.b.c.w F32"));
}

TEST_CASE("torch file: what a training checkpoint holds beside weights is kept as a name, and none of it built") {
  const auto scalar = op::call(op::global("numpy._core.multiarray", "scalar"),
                               {op::call(op::global("numpy", "dtype"), {op::text("f8"), "\x89", "\x88"}) + "(K\3tb",
                                op::call(op::global("_codecs", "encode"), {op::text("x"), op::text("latin1")})});
  const auto args = op::global("argparse", "Namespace") + ")\x81" +
                    op::dict({{"out", op::call(op::global("pathlib", "PosixPath"), {op::text("/x")})}}) + "b";
  const auto object = op::dict({{"args", args}, {"lr", scalar}, {"none", "}"}, {"list", "]"}});
  CHECK(torch_outcome(torch_zip(object)) ==
        "not args: argparse.Namespace; not lr: numpy._core.multiarray.scalar; not none: a dictionary; "
        "not list: a list; ");
}

TEST_CASE("torch file: loops, depth and names that multiply are refused") {
  using Catch::Contains;
  CHECK_THAT(torch_outcome(torch_zip("}q\1U\1ah\1s")), Contains("too deep, or in a loop"));
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "}U\1a";
  CHECK_THAT(torch_outcome(torch_zip(deep + "N" + std::string(40, 's'))), Contains("too deep"));
  // Each dictionary holds the one before twice: 2^30 names.
  std::string doubling = "}U\1aNsq\1";
  for (int i = 0; i < 30; ++i) doubling += "}(U\1ah\1U\1bh\1uq\1";
  CHECK_THAT(torch_outcome(torch_zip(doubling)), Contains("too many names"));
  const auto w = op::tensor(op::storage("0", 4), 0, {}, {});
  CHECK_THAT(torch_outcome(torch_zip(op::dict({{"w", w}, {"w", w}}), {{"0", kFour}})), Contains("\"w\" comes twice"));
  CHECK_THAT(torch_outcome(torch_zip(op::dict({{"a.b", w}, {"a", op::dict({{"b", w}})}}), {{"0", kFour}})),
             Contains("\"a.b\" comes twice"));
}

TEST_CASE("torch file: a parameter of itself is no tensor") {
  // The arguments are changed after the call was made: the parameter then wraps itself.
  const auto object = op::global("torch._utils", "_rebuild_parameter") + "]q\1\x85Rq\2";
  CHECK_THAT(torch_outcome(torch_zip(op::dict({{"w", object}}))),
             Catch::Contains("not w: torch._utils._rebuild_parameter"));
}

TEST_CASE("torch file: what is written reads back") {
  std::vector<TorchEntry> entries;
  std::vector<std::string> bytes;
  for (const auto* name : {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F8_E4M3", "F8_E5M2", "F16",
                           "BF16", "F32", "F64"}) {
    const auto dtype = *dtype_named(name);
    entries.push_back({.name = name, .dtype = dtype, .shape = {3, 1}});
    bytes.emplace_back(static_cast<size_t>(3 * size_in_bytes(dtype)), '\1');
  }
  entries.push_back({.name = "scalar", .dtype = DType::kF32, .shape = {}});
  bytes.emplace_back(4, '\1');
  entries.push_back({.name = "empty", .dtype = DType::kF32, .shape = {0, 70'000}});
  bytes.emplace_back();
  std::string file;
  write_torch_file(
      entries, [&](size_t i) { return std::as_bytes(std::span(bytes[i])); },
      [&](std::span<const std::byte> part) { file.append(reinterpret_cast<const char*>(part.data()), part.size()); });

  const auto read = open(file);
  REQUIRE(read);
  const auto dict = torch_state_dict(*read, "");
  REQUIRE(dict);
  REQUIRE(dict->tensors.size() == entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& [name, tensor] = dict->tensors[i];
    INFO(name);
    CHECK(name == entries[i].name);
    CHECK(tensor.dtype == entries[i].dtype);
    CHECK(tensor.shape == entries[i].shape);
    const auto content = read->read(tensor.storage);
    REQUIRE(content);
    CHECK(std::ranges::equal(content->bytes(), std::as_bytes(std::span(bytes[i]))));
    CHECK((content->bytes().data() - std::as_bytes(std::span(file)).data()) % kTorchAlignment == 0);
  }
}

TEST_CASE("torch file: the writer refuses names a reader would") {
  const auto nothing = [](size_t) { return std::span<const std::byte>(); };
  const auto sink = [](std::span<const std::byte>) {};
  const std::vector<TorchEntry> twice{{.name = "x", .shape = {0}}, {.name = "x", .shape = {0}}};
  CHECK_THROWS_WITH(write_torch_file(twice, nothing, sink), Catch::Contains("twice"));
  CHECK_THROWS_WITH(write_torch_file(std::vector{TorchEntry{.name = "\xff", .shape = {0}}}, nothing, sink),
                    Catch::Contains("not UTF-8"));
  CHECK_THROWS_WITH(write_torch_file(std::vector{TorchEntry{.name = "x", .shape = {1}}}, nothing, sink),
                    Catch::Contains("has 0 bytes, its shape needs 4"));
}

TEST_CASE("torch file: every file of the test data is read whole, or refused where it is broken", "[golden]") {
  const auto folder = test::test_data("golden/torch_files");
  if (!folder) return;
  int read = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*folder)) {
    const auto ending = entry.path().extension();
    if (ending != ".pt" && ending != ".pth") continue;
    INFO(entry.path().string());
    const auto bytes = content(entry.path());
    const auto file = open(bytes);
    if (entry.path().filename() == "broken.pt") {
      CHECK_THAT(torch_outcome(bytes), Catch::Contains("is no file of torch.save"));
      continue;
    }
    REQUIRE(file);
    const auto dict = torch_state_dict(*file, "");
    REQUIRE(dict);
    CHECK_FALSE(dict->tensors.empty());
    for (size_t i = 0; i < file->storages().size(); ++i) CHECK(file->read(i));
    ++read;
  }
  CHECK(read == 43);
}

TEST_CASE("torch file: no byte of a real file can be changed so that reading it goes astray", "[golden]") {
  const auto folder = test::test_data("golden/torch_files/reader");
  if (!folder) return;
  for (const auto* name : {"legacy_with_offsets.pt", "mixed_types.pt", "parameter.pt"}) {
    const auto original = content(*folder / name);
    for (size_t at = 0; at < original.size(); ++at) {
      for (const char value : {'\0', '\x7f', '\xff', static_cast<char>(original[at] + 1)}) {
        auto file = original;
        file[at] = value;
        CHECK_FALSE(torch_outcome(file).empty());
      }
    }
  }
}
