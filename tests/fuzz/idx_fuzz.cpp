#include "unireplk/formats/idx.h"

#include "fuzz/target.h"

void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
  const auto tensor = formats::parse_idx(bytes, "fuzz.idx");
  if (!tensor) return;
  require(formats::dense_bytes(tensor->dtype, tensor->shape) == std::ssize(tensor->bytes),
          "bytes do not fit the shape");
}
