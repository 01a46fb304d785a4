#include "unireplk/formats/torch_file.h"

#include "fuzz/target.h"

/// Everything that reading a .pth file does but copying numbers: zip, pickle, the state dictionary, the bytes of
/// storages.
void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
  const auto file = formats::TorchFile::open(bytes, "fuzz.pth");
  if (!file) return;
  const auto dict = formats::torch_state_dict(*file, "");
  if (!dict) return;
  for (const auto& [name, tensor] : dict->tensors) {
    const auto numbers = file->read(tensor.storage);
    if (!numbers || std::ranges::find(tensor.shape, 0) != tensor.shape.end()) continue;
    int64_t last = tensor.offset;
    for (size_t i = 0; i < tensor.shape.size(); ++i) last += (tensor.shape[i] - 1) * tensor.strides[i];
    require((last + 1) * formats::size_in_bytes(tensor.dtype) <= std::ssize(numbers->bytes()),
            "a view leaves its storage");
  }
}
