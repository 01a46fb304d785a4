#include "unireplk/io/weight_file.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <map>

#include "unireplk/core/error.h"
#include "unireplk/formats/torch_file.h"
#include "unireplk/formats/torch_writer.h"
#include "unireplk/io/dtype.h"
#include "unireplk/io/files.h"

namespace unireplk::io {
namespace {

constexpr const char* kSafetensorsName = ".safetensors";
constexpr std::array kTorchNames{".pth", ".pt", ".bin", ".ckpt", ".pth.tar"};

bool ends_with(const std::filesystem::path& path, const char* ending) { return path.string().ends_with(ending); }

/// Makes tensors of views, with one LibTorch storage for each of the file.
class TorchTensors {
 public:
  explicit TorchTensors(const formats::TorchFile& file) : file_(file) {}

  at::Tensor make(const std::string& name, const formats::TorchTensor& view) {
    const auto type = scalar_type_of(view.dtype);
    if (std::ranges::find(view.shape, 0) != view.shape.end()) return at::empty(view.shape, type);
    return numbers(name, view).as_strided(view.shape, view.strides, view.offset);
  }

 private:
  /// The whole storage as numbers of the view's type.
  const at::Tensor& numbers(const std::string& name, const formats::TorchTensor& view) {
    const auto [place, is_new] = storages_.try_emplace({view.storage, view.dtype});
    if (!is_new) return place->second;
    const auto content = file_.read(view.storage).value_or_throw();
    const int64_t count = std::ssize(content.bytes()) / formats::size_in_bytes(view.dtype);
    const auto bytes = content.bytes().first(static_cast<size_t>(count * formats::size_in_bytes(view.dtype)));
    if (view.dtype == formats::DType::kBool && !holds_bools(bytes)) {
      throw UserError({.place = file_.place(),
                       .message = format("tensor \"{}\": expected booleans to be bytes 0 and 1, got others", name),
                       .cure = ""});
    }
    return place->second = to_tensor({view.dtype, {count}, bytes});
  }

  const formats::TorchFile& file_;
  std::map<std::pair<size_t, formats::DType>, at::Tensor> storages_;
};

formats::TorchEntry describe_entry(const std::string& name, const at::Tensor& tensor) {
  UNIREPLK_CHECK(tensor.defined(), "torch file: \"{}\" is undefined", name);
  const auto dtype = dtype_of(tensor.scalar_type());
  UNIREPLK_CHECK(dtype.has_value(), "torch file: \"{}\" is {}, which this program does not write", name,
                 at::toString(tensor.scalar_type()));
  return {.name = name, .dtype = *dtype, .shape = tensor.sizes().vec()};
}

}  // namespace

bool is_torch_name(const std::filesystem::path& path) {
  return std::ranges::any_of(kTorchNames, [&](const char* name) { return ends_with(path, name); });
}

bool is_weight_name(const std::filesystem::path& path) {
  return ends_with(path, kSafetensorsName) || is_torch_name(path);
}

WeightFile read_torch(const std::filesystem::path& path, const std::string& key) {
  const FileMapping mapping = InputFile(path).map();
  const auto file = formats::TorchFile::open(mapping.bytes(), path.string()).value_or_throw();
  auto dict = formats::torch_state_dict(file, key).value_or_throw();
  WeightFile out{
      .content = {}, .key = std::move(dict.key), .others = std::move(dict.others), .ignored = std::move(dict.ignored)};
  TorchTensors tensors(file);
  for (const auto& [name, view] : dict.tensors) out.content.tensors.emplace_back(name, tensors.make(name, view));
  return out;
}

void write_torch(const std::filesystem::path& path, const TensorFile& file) {
  std::vector<formats::TorchEntry> entries;
  for (const auto& [name, tensor] : file.tensors) entries.push_back(describe_entry(name, tensor));
  AtomicFile out(path);
  at::Tensor dense;  // holds the bytes that are being written
  const auto bytes = [&](size_t i) {
    dense = file.tensors[i].second.detach().to(at::kCPU).contiguous();
    return bytes_of(dense);
  };
  formats::write_torch_file(entries, bytes, [&](std::span<const std::byte> part) { out.write(part); });
  out.commit();
}

WeightFile read_weights(const std::filesystem::path& path, const std::string& key) {
  if (is_torch_name(path)) return read_torch(path, key);
  if (!ends_with(path, kSafetensorsName)) {
    throw UserError({.place = path.string(),
                     .message = "expected a weight file: .safetensors, .pth, .pt, .bin, .ckpt or .pth.tar",
                     .cure = ""});
  }
  if (!key.empty()) {
    throw UserError({.place = path.string(),
                     .message = format("expected no key for a .safetensors file, got \"{}\"", key),
                     .cure = "Its tensors lie in no dictionary."});
  }
  return {.content = read_safetensors(path)};
}

void require_writable_weight_name(const std::filesystem::path& path) {
  if (ends_with(path, kSafetensorsName) || ends_with(path, ".pth") || ends_with(path, ".pt")) return;
  throw UserError({.place = path.string(),
                   .message = "expected a name that ends in .safetensors, .pth or .pt",
                   .cure = "The ending says what is written."});
}

void write_weights(const std::filesystem::path& path, const TensorFile& file) {
  require_writable_weight_name(path);
  if (is_torch_name(path)) {
    write_torch(path, file);
  } else {
    write_safetensors(path, file);
  }
}

}  // namespace unireplk::io
