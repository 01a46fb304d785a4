#include "unireplk/io/npy_file.h"

#include <ATen/ops/from_blob.h>

#include <memory>

#include "unireplk/formats/npy.h"
#include "unireplk/io/dtype.h"
#include "unireplk/io/files.h"
#include "unireplk/io/tensor_file.h"

namespace unireplk::io {

at::Tensor read_npy(const std::filesystem::path& file) {
  const auto mapping = std::make_shared<FileMapping>(InputFile(file).map());
  const auto view = formats::view_npy(mapping->bytes());
  if (!view) return to_tensor(formats::parse_npy(mapping->bytes(), file.string()).value_or_throw().view());
  return at::from_blob(
      const_cast<std::byte*>(view->bytes.data()), view->shape, [mapping](void*) {},
      at::TensorOptions(scalar_type_of(view->dtype)));
}

}  // namespace unireplk::io
