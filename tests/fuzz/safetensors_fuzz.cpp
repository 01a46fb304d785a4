#include "unireplk/formats/safetensors.h"

#include "fuzz/target.h"

void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
  const auto size = std::ssize(bytes);
  const auto header = formats::safetensors_header_bytes(bytes, size, "fuzz.safetensors");
  if (!header) return;
  const auto parsed =
      formats::parse_safetensors_header(bytes.first(static_cast<size_t>(*header)), size, "fuzz.safetensors");
  if (!parsed) return;
  for (const auto& tensor : parsed->tensors) {
    require(tensor.offset >= *header && tensor.bytes <= size - tensor.offset, "a tensor leaves the file");
  }
}
