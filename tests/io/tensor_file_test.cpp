#include "unireplk/io/tensor_file.h"

#include <ATen/ATen.h>

#include <cstring>

#include "io/every_dtype.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"
#include "unireplk/core/error.h"
#include "unireplk/io/dtype.h"
#include "unireplk/io/files.h"

using namespace unireplk;
using namespace unireplk::io;
using unireplk::test::every_dtype;
using unireplk::test::TemporaryFolder;

namespace {

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && a.is_contiguous() && b.is_contiguous() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

}  // namespace

TEST_CASE("safetensors: tensors of every dtype come back bit by bit") {
  const TemporaryFolder folder;
  TensorFile file = every_dtype();
  file.metadata = {{"format", "pt"}, {"note", "Größe"}};
  write_safetensors(folder / "a.safetensors", file);

  const TensorFile read = read_safetensors(folder / "a.safetensors");
  CHECK(read.metadata == file.metadata);
  REQUIRE(read.tensors.size() == file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    INFO(name);
    const at::Tensor* found = read.find(name);
    REQUIRE(found != nullptr);
    CHECK(same_bytes(*found, tensor));
  }
  CHECK(read.find("missing") == nullptr);
}

TEST_CASE("safetensors: strided tensors are laid down by their shape") {
  const TemporaryFolder folder;
  const at::Tensor base = at::arange(24, at::kFloat).view({1, 2, 3, 4});
  const at::Tensor last = base.contiguous(at::MemoryFormat::ChannelsLast);
  write_safetensors(folder / "a.safetensors", {.tensors = {{"t", base.transpose(2, 3)}, {"c", last}}, .metadata = {}});
  const TensorFile read = read_safetensors(folder / "a.safetensors");
  CHECK(same_bytes(*read.find("t"), base.transpose(2, 3).contiguous()));
  CHECK(same_bytes(*read.find("c"), base));
  CHECK(read.tensors[0].first == "t");
}

TEST_CASE("safetensors: what cannot be written is named") {
  const TemporaryFolder folder;
  const auto write = [&](const at::Tensor& t) {
    write_safetensors(folder / "a", {.tensors = {{"x", t}}, .metadata = {}});
  };
  CHECK_THROWS_WITH(write(at::zeros({1}, at::kComplexFloat)), Catch::Contains("\"x\" is ComplexFloat"));
  CHECK_THROWS_WITH(write(at::Tensor()), Catch::Contains("\"x\" is undefined"));
  CHECK_FALSE(std::filesystem::exists(folder / "a"));
}

TEST_CASE("safetensors: a cut or damaged file is a UserError that names it") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  write_safetensors(path, {.tensors = {{"x", at::ones({2})}, {"b", at::ones({3}, at::kBool)}}, .metadata = {}});
  const std::string whole = read_file(path);
  for (size_t length = 0; length < whole.size(); ++length) {
    write_file_atomically(path, whole.substr(0, length));
    CHECK_THROWS_AS(read_safetensors(path), UserError);
  }
  std::string bad_bool = whole;
  bad_bool.back() = 2;
  write_file_atomically(path, bad_bool);
  CHECK_THROWS_WITH(read_safetensors(path),
                    Catch::StartsWith(path.string() + ": tensor \"b\": expected bytes 0 and 1 for BOOL"));
}

TEST_CASE("to_tensor: copies a view, aligned or not") {
  const std::array<float, 2> values{1.5f, -2.0f};
  std::vector<std::byte> bytes(9);
  std::memcpy(bytes.data() + 1, values.data(), 8);
  const at::Tensor tensor =
      to_tensor({.dtype = formats::DType::kF32, .shape = {2}, .bytes = std::span(bytes).subspan(1)});
  CHECK(at::equal(tensor, at::tensor({1.5f, -2.0f})));
  CHECK_THROWS_AS(to_tensor({.dtype = formats::DType::kF32, .shape = {3}, .bytes = bytes}), ContractError);
}

TEST_CASE("dtype: LibTorch types without a file type are none") {
  CHECK(dtype_of(at::kFloat) == formats::DType::kF32);
  CHECK(scalar_type_of(formats::DType::kBF16) == at::kBFloat16);
  CHECK_FALSE(dtype_of(at::kComplexDouble).has_value());
}

TEST_CASE("safetensors: reads a file of another writer", "[golden]") {
  const auto path = test::test_data("golden/safetensors/multi_layer.safetensors");
  if (!path) return;
  const TensorFile file = read_safetensors(*path);
  REQUIRE_FALSE(file.tensors.empty());
  for (const auto& [name, tensor] : file.tensors) {
    INFO(name);
    CHECK(tensor.numel() > 0);
    if (tensor.is_floating_point()) CHECK(tensor.isfinite().all().item<bool>());
  }
}

TEST_CASE("safetensors: the bundled goldens survive a round trip", "[golden]") {
  const TemporaryFolder folder;
  const TensorFile golden = read_safetensors("tools/reference/golden/logits.safetensors");
  REQUIRE_FALSE(golden.tensors.empty());
  write_safetensors(folder / "copy.safetensors", golden);
  const TensorFile copy = read_safetensors(folder / "copy.safetensors");
  REQUIRE(copy.tensors.size() == golden.tensors.size());
  for (size_t i = 0; i < golden.tensors.size(); ++i) {
    CHECK(copy.tensors[i].first == golden.tensors[i].first);
    CHECK(same_bytes(copy.tensors[i].second, golden.tensors[i].second));
  }
}
