#include "unireplk/data/image/read_bytes.h"

#include <cstring>

#include "unireplk/io/files.h"

namespace unireplk::data::image {

Result<EncodedBytes> read_bytes(const std::filesystem::path& file) {
  return as_result([&] {
    const std::string content = io::read_file(file, kMaxImageFileBytes);
    EncodedBytes out{std::vector<std::byte>(content.size())};
    std::memcpy(out.bytes.data(), content.data(), content.size());
    return out;
  });
}

}  // namespace unireplk::data::image
