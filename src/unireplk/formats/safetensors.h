#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "unireplk/core/result.h"
#include "unireplk/formats/dtype.h"

/// safetensors: 8 bytes little-endian length N, N bytes of JSON, then the tensors' bytes without gaps.
namespace unireplk::formats {

constexpr int64_t kSafetensorsMaxHeader = 100'000'000;  ///< bytes of JSON, as the reference implementation has it

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape = {};
  int64_t offset = 0;  ///< of the first byte, from the start of the file
  int64_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors;  ///< in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// Bytes that the header takes, its length field included.
/// \param start      the first eight bytes of the file, or all when it has fewer.
/// \param file_size  of the whole file.
/// \param place      the file, named in the problem.
Result<int64_t> safetensors_header_bytes(std::span<const std::byte> start, int64_t file_size, const std::string& place);

/// \param header  the first safetensors_header_bytes() of the file.
/// Refused: names that repeat, unknown dtypes, shapes that overflow or do not fit their bytes, overlaps,
/// gaps, bytes that are missing or left over.
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> header, int64_t file_size,
                                                   const std::string& place);

/// The header for tensors that will follow in this order (offset and bytes of the entries are not read),
/// padded with spaces so that the data starts at a multiple of eight. \throws ContractError when a name
/// repeats, is not UTF-8 or is reserved.
std::string safetensors_header(std::span<const SafetensorsEntry> tensors,
                               const std::map<std::string, std::string>& metadata);

}  // namespace unireplk::formats
