#include "unireplk/io/tensor_file.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "unireplk/core/error.h"
#include "unireplk/formats/safetensors.h"
#include "unireplk/io/dtype.h"
#include "unireplk/io/files.h"

namespace unireplk::io {
namespace {

using formats::SafetensorsEntry;
using formats::SafetensorsHeader;

std::span<std::byte> writable_bytes_of(at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()};
}

SafetensorsHeader read_header(const InputFile& file, const std::string& place) {
  std::vector<std::byte> header(static_cast<size_t>(std::min<int64_t>(8, file.size())));
  file.read(0, header);
  const int64_t bytes = formats::safetensors_header_bytes(header, file.size(), place).value_or_throw();
  header.resize(static_cast<size_t>(bytes));
  file.read(0, header);
  return formats::parse_safetensors_header(header, file.size(), place).value_or_throw();
}

/// Straight from the file into the tensor's memory: no second copy, and no alignment asked of the file.
at::Tensor read_entry(const InputFile& file, const SafetensorsEntry& entry, const std::string& place) {
  at::Tensor tensor;
  try {
    tensor = at::empty(entry.shape, scalar_type_of(entry.dtype));
  } catch (const c10::Error& error) {
    throw UserError({.place = place,
                     .message = format("tensor \"{}\": {}", entry.name, error.what_without_backtrace()),
                     .cure = ""});
  }
  file.read(entry.offset, writable_bytes_of(tensor));
  if (entry.dtype == formats::DType::kBool && !holds_bools(bytes_of(tensor))) {
    throw UserError({.place = place,
                     .message = format("tensor \"{}\": expected bytes 0 and 1 for BOOL, got others", entry.name),
                     .cure = ""});
  }
  return tensor;
}

SafetensorsEntry describe(const std::string& name, const at::Tensor& tensor) {
  UNIREPLK_CHECK(tensor.defined(), "safetensors: \"{}\" is undefined", name);
  const auto dtype = dtype_of(tensor.scalar_type());
  UNIREPLK_CHECK(dtype.has_value(), "safetensors: \"{}\" is {}, which the format cannot hold", name,
                 at::toString(tensor.scalar_type()));
  return {.name = name, .dtype = *dtype, .shape = tensor.sizes().vec()};
}

}  // namespace

const at::Tensor* TensorFile::find(const std::string& name) const {
  const auto found = std::ranges::find(tensors, name, &std::pair<std::string, at::Tensor>::first);
  return found == tensors.end() ? nullptr : &found->second;
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  const InputFile file(path);
  SafetensorsHeader header = read_header(file, path.string());
  TensorFile out;
  for (const auto& entry : header.tensors) {
    out.tensors.emplace_back(entry.name, read_entry(file, entry, path.string()));
  }
  out.metadata = std::move(header.metadata);
  return out;
}

void write_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, tensor] : file.tensors) entries.push_back(describe(name, tensor));
  AtomicFile out(path);
  out.write(formats::safetensors_header(entries, file.metadata));
  for (const auto& [name, tensor] : file.tensors) {
    const at::Tensor dense = tensor.detach().to(at::kCPU).contiguous();
    out.write(bytes_of(dense));
  }
  out.commit();
}

bool holds_bools(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b <= std::byte{1}; });
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

at::Tensor to_tensor(const formats::TensorView& view) {
  at::Tensor tensor = at::empty(view.shape, scalar_type_of(view.dtype));
  UNIREPLK_CHECK(tensor.nbytes() == view.bytes.size(), "to_tensor: {} bytes do not fit the shape, it needs {}",
                 view.bytes.size(), tensor.nbytes());
  if (!view.bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

}  // namespace unireplk::io
