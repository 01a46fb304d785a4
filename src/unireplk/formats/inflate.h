#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "unireplk/core/result.h"

namespace unireplk::formats {

/// True when the bytes begin as gzip does.
bool is_gzip(std::span<const std::byte> bytes);

/// No deflate stream grows by more than this factor, so a promise beyond it is a lie.
constexpr int64_t kMaxInflation = 1032;

/// Decompresses gzip piece by piece, so that the caller decides how much may come out.
class GzipReader {
 public:
  /// `compressed` must outlive the reader. \param place  named in problems.
  GzipReader(std::span<const std::byte> compressed, std::string place);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// Fill `out` as far as the data goes. The count is smaller than asked only at the end of the file.
  Result<size_t> read(std::span<std::byte> out);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string place_;
};

/// Decompress a deflate stream without a wrapper, as zip has it, that gives out.size() bytes, no more and no fewer, and
/// ends where `compressed` ends. \return the problem, if there is one. \param place  named in it.
std::optional<Problem> inflate_exactly(std::span<const std::byte> compressed, std::span<std::byte> out,
                                       const std::string& place);

}  // namespace unireplk::formats
