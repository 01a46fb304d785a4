#include "unireplk/io/weight_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "io/every_dtype.h"
#include "support/catch.h"
#include "support/python.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"

using namespace unireplk;
using namespace unireplk::io;
using Catch::Contains;
using unireplk::test::every_dtype;
using unireplk::test::TemporaryFolder;

namespace {

bool same_values(const at::Tensor& a, const at::Tensor& b) {
  const auto x = a.contiguous(), y = b.contiguous();
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0);
}

void check_same(const TensorFile& a, const TensorFile& b) {
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    INFO(a.tensors[i].first);
    CHECK(a.tensors[i].first == b.tensors[i].first);
    CHECK(same_values(a.tensors[i].second, b.tensors[i].second));
  }
}

/// A file below golden/torch_files. Nothing when there is no test data.
std::optional<WeightFile> golden(const std::string& name, const std::string& key = {}) {
  const auto path = test::test_data("golden/torch_files/" + name);
  if (!path) return std::nullopt;
  return read_torch(*path, key);
}

const at::Tensor& at_name(const WeightFile& file, const std::string& name) {
  const at::Tensor* tensor = file.content.find(name);
  REQUIRE(tensor != nullptr);
  return *tensor;
}

/// Numbers of the only tensor of a golden file, flattened by its shape.
template <class T>
void check_numbers(const std::string& name, at::ScalarType type, const std::vector<T>& expected) {
  const auto file = golden("reader/" + name);
  if (!file) return;
  INFO(name);
  const auto& tensor = at_name(*file, "tensor");
  CHECK(tensor.scalar_type() == type);
  const auto numbers = tensor.reshape({-1}).to(at::kDouble);
  REQUIRE(numbers.numel() == std::ssize(expected));
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    CHECK(numbers[i].item<double>() == static_cast<double>(expected[static_cast<size_t>(i)]));
  }
}

}  // namespace

TEST_CASE("weight file: tensors of every dtype come back bit by bit from a .pth file") {
  const TemporaryFolder folder;
  const auto file = every_dtype();
  write_torch(folder / "a.pth", file);
  const auto read = read_torch(folder / "a.pth");
  check_same(read.content, file);
  CHECK(read.key.empty());
  CHECK(read.others.empty());
  write_torch(folder / "b.pth", file);
  CHECK(read_file(folder / "a.pth") == read_file(folder / "b.pth"));
}

TEST_CASE("weight file: strided tensors are laid down by their shape") {
  const TemporaryFolder folder;
  const at::Tensor base = at::arange(24, at::kFloat).view({1, 2, 3, 4});
  const TensorFile file{.tensors = {{"t", base.transpose(2, 3)},
                                    {"c", base.contiguous(at::MemoryFormat::ChannelsLast)},
                                    {"x", at::ones({1}).expand({3})}},
                        .metadata = {}};
  write_torch(folder / "a.pth", file);
  const auto read = read_torch(folder / "a.pth");
  check_same(read.content, file);
  for (const auto& [name, tensor] : read.content.tensors) CHECK(tensor.is_contiguous());
}

TEST_CASE("weight file: the name says what it is") {
  const TemporaryFolder folder;
  const auto file = every_dtype();
  for (const auto* name : {"a.safetensors", "a.pth", "a.pt"}) {
    write_weights(folder / name, file);
    check_same(read_weights(folder / name).content, file);
  }
  write_torch(folder / "a.pth.tar", file);
  write_torch(folder / "a.bin", file);
  check_same(read_weights(folder / "a.pth.tar").content, file);
  check_same(read_weights(folder / "a.bin").content, file);
  CHECK_THROWS_WITH(read_weights(folder / "a.onnx"), Contains("expected a weight file: .safetensors, .pth"));
  CHECK_THROWS_WITH(write_weights(folder / "a.onnx", file), Contains("ends in .safetensors, .pth or .pt"));
  CHECK_THROWS_WITH(read_weights(folder / "a.safetensors", "model"), Contains("expected no key"));
  CHECK_THROWS_WITH(read_weights(folder / "b.pth"), Contains("cannot open the file"));
  CHECK_THROWS_WITH(read_weights(folder / "a.pth", "model"), Contains("expected the key \"model\""));
}

TEST_CASE("weight file: an empty file is refused like any other damaged one") {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a.pth", "");
  CHECK_THROWS_WITH(read_torch(folder / "a.pth"), Contains("is no file of torch.save"));
}

TEST_CASE("weight file: a boolean that is neither 0 nor 1 is refused") {
  const TemporaryFolder folder;
  write_torch(folder / "a.pth", {.tensors = {{"w", at::ones({3}, at::kByte)}}, .metadata = {}});
  auto content = read_file(folder / "a.pth");
  content.replace(content.find("ByteStorage"), 11, "BoolStorage");
  const auto data = content.find("\1\1\1");
  REQUIRE(data % 64 == 0);
  content[data] = '\2';
  // The checksums in the table of the archive become "left out".
  for (size_t at = content.find("PK\1\2"); at != content.npos; at = content.find("PK\1\2", at + 1)) {
    content.replace(at + 16, 4, 4, '\0');
  }
  write_file_atomically(folder / "a.pth", content);
  CHECK_THROWS_WITH(read_torch(folder / "a.pth"), Contains("expected booleans to be bytes 0 and 1"));
}

TEST_CASE("weight file: files of PyTorch have the values they were made with", "[golden]") {
  check_numbers<double>("float16.pt", at::kHalf, {1.5, -2.25, 3.125});
  check_numbers<double>("bfloat16.pt", at::kBFloat16, {1.5, -2.5, 3.5});
  check_numbers<float>("float32.pt", at::kFloat, {1.0F, 2.5F, -3.7F, 0.0F});
  check_numbers<double>("float64.pt", at::kDouble, {1.1, 2.2, 3.3});
  check_numbers<int>("int8.pt", at::kChar, {127, -128, 0, 50});
  check_numbers<int>("uint8.pt", at::kByte, {0, 128, 255, 42});
  check_numbers<int>("int16.pt", at::kShort, {1000, -2000, 3000});
  check_numbers<int>("int32.pt", at::kInt, {10, 20, -30});
  check_numbers<int>("int64.pt", at::kLong, {100, -200, 300, 0});
  check_numbers<int>("bool.pt", at::kBool, {1, 0, 1, 1, 0});
  check_numbers<float>("scalar.pt", at::kFloat, {42.0F});
  check_numbers<float>("empty.pt", at::kFloat, {});
  check_numbers<float>("tensor_2d.pt", at::kFloat, {1, 2, 3, 4, 5, 6});
  check_numbers<float>("extreme_values.pt", at::kFloat, {1e-30F, 1e30F, -1e-30F, -1e30F});
}

TEST_CASE("weight file: special numbers stay what they are", "[golden]") {
  const auto file = golden("reader/special_values.pt");
  if (!file) return;
  const auto& tensor = at_name(*file, "tensor");
  CHECK(std::isnan(tensor[0].item<float>()));
  CHECK(tensor[1].item<float>() == std::numeric_limits<float>::infinity());
  CHECK(tensor[2].item<float>() == -std::numeric_limits<float>::infinity());
}

TEST_CASE("weight file: strides, offsets and shared storages", "[golden]") {
  if (!test::test_data("golden/torch_files")) return;
  const auto fortran = *golden("candle/fortran_tensor_3d.pth");
  CHECK(at::equal(at_name(fortran, "tensor_fortran"), at::arange(1, 25, at::kLong).view({2, 3, 4})));
  const auto views = *golden("reader/legacy_uncloned_views.pt");
  CHECK(at::equal(at_name(views, "tensor1"), at::arange(10, 20, at::kFloat)));
  CHECK(at::equal(at_name(views, "tensor2"), at::arange(50, 60, at::kFloat)));
  CHECK(at_name(views, "tensor1").is_alias_of(at_name(views, "tensor2")));
  const auto offsets = *golden("reader/legacy_with_offsets.pt");
  CHECK(at::allclose(at_name(offsets, "tensor3"), at::tensor({3.0F, 3.1F, 3.2F, 3.3F, 3.4F})));
  const auto shared = *golden("reader/legacy_shared_storage.pt");
  CHECK(at_name(shared, "view2").sizes() == at::IntArrayRef{20});
  CHECK(at_name(shared, "view3")[1].item<float>() == 1.8221241235733032F);
}

TEST_CASE("weight file: dictionaries within, keys, parameters and state dicts", "[golden]") {
  if (!test::test_data("golden/torch_files")) return;
  CHECK(at_name(*golden("reader/nested_dict.pt"), "layer2.weight")[0][0].item<float>() == 1.4111539125442505F);
  CHECK(at_name(*golden("reader/parameter.pt"), "param")[0][0].item<float>() == 1.024911880493164F);
  CHECK(at_name(*golden("reader/simple_legacy.pt"), "weight")[0][0].item<float>() == -1.8129550218582153F);
  CHECK(at_name(*golden("modules/embedding.pt"), "embed.weight")[0][0].item<float>() == -1.5255959033966064F);
  CHECK(at_name(*golden("modules/batch_norm2d.pt"), "norm1.num_batches_tracked").item<int64_t>() == 1);
  CHECK(at_name(*golden("state_dicts/linear_regression_0.pth"), "bias")[0].item<float>() == 0.3513098657131195F);
  CHECK(golden("state_dicts/tinyvgg_script_mode.pth")->content.tensors.size() == 10);  // saved on a GPU

  const auto checkpoint = *golden("reader/checkpoint.pt");
  CHECK(checkpoint.others == std::vector<std::string>{"epoch: an int", "loss: a float"});
  CHECK(at_name(checkpoint, "optimizer_state_dict.state.0.momentum_buffer").sizes() == at::IntArrayRef{10, 5});
  const auto model = *golden("reader/checkpoint.pt", "model_state_dict");
  CHECK(model.content.tensors.size() == 4);
  CHECK(model.others.empty());
  CHECK(at_name(model, "fc1.weight")[0][0].item<float>() == 1.0414010286331177F);
}

TEST_CASE("weight file: Python's torch.load opens what is written here", "[golden]") {
  const auto python = test::python_with_torch();
  if (!python) return;
  const TemporaryFolder folder;
  auto file = every_dtype();
  file.tensors.emplace_back("strided", at::arange(6, at::kFloat).view({2, 3}).t());
  write_torch(folder / "ours.pth", file);
  CHECK(test::run_python(*python, folder, R"(
import torch
ours = torch.load('ours.pth', weights_only=True)
assert list(ours)[-1] == 'strided' and torch.equal(ours['strided'], torch.arange(6.).view(2, 3).t()), ours
assert ours['scalar'].item() == 2.5 and ours['empty'].shape == (0, 4) and ours['bool'].tolist() == [True, False, True]
dtypes = {tensor.dtype for tensor in ours.values()}
assert len(dtypes) == 15, dtypes
for name, tensor in ours.items():
    if tensor.shape == (3, 5):
        raw = tensor.contiguous().view(torch.uint8).flatten().tolist()
        assert raw == [(i * 37 + 11) % 256 for i in range(len(raw))], name
mapped = torch.load('ours.pth', weights_only=True, mmap=True)
assert all(m.untyped_storage().data_ptr() % 64 == next(iter(mapped.values())).untyped_storage().data_ptr() % 64
           for m in mapped.values() if m.numel())
torch.save(ours, 'theirs.pth')
torch.save(ours, 'legacy.pth', _use_new_zipfile_serialization=False)
torch.save({'args': __import__('argparse').Namespace(a=1), 'model': ours, 'epoch': 3}, 'protocol4.pth', pickle_protocol=4)
torch.serialization.set_crc32_options(False)
torch.save(ours, 'no_checksum.pth')
)"));
  check_same(read_torch(folder / "theirs.pth").content, file);
  check_same(read_torch(folder / "no_checksum.pth").content, file);
  check_same(read_torch(folder / "legacy.pth").content, file);
  const auto nested = read_torch(folder / "protocol4.pth");
  check_same(nested.content, file);
  CHECK(nested.key == "model");
  CHECK(nested.ignored == std::vector<std::string>{"args", "epoch"});
}
