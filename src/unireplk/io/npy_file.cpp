#include "unireplk/io/npy_file.h"

#include "unireplk/formats/npy.h"
#include "unireplk/io/files.h"
#include "unireplk/io/tensor_file.h"

namespace unireplk::io {

at::Tensor read_npy(const std::filesystem::path& file) {
  const auto mapping = InputFile(file).map();
  return to_tensor(formats::parse_npy(mapping.bytes(), file.string()).value_or_throw().view());
}

}  // namespace unireplk::io
