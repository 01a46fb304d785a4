#include "unireplk/data/read_bytes.h"

#include <cstring>

#include "unireplk/io/files.h"

namespace unireplk::data {

Result<EncodedBytes> read_bytes(const std::filesystem::path& file) {
  return as_result([&] {
    const std::string content = io::read_file(file, kMaxSampleFileBytes);
    EncodedBytes out{std::vector<std::byte>(content.size())};
    std::memcpy(out.bytes.data(), content.data(), content.size());
    return out;
  });
}

}  // namespace unireplk::data
