#include "unireplk/formats/idx.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/inflate.h"

namespace unireplk::formats {
namespace {

constexpr int64_t kMaxIdxRank = 8;

/// The file's bytes in order, decompressed when need be.
class IdxInput {
 public:
  IdxInput(std::span<const std::byte> file, const std::string& place) : plain_(file), file_bytes_(file.size()) {
    if (is_gzip(file)) gzip_ = std::make_unique<GzipReader>(file, place);
  }

  Result<size_t> read(std::span<std::byte> out) {
    if (gzip_) return gzip_->read(out);
    const size_t count = std::min(out.size(), plain_.size());
    if (count > 0) std::memcpy(out.data(), plain_.data(), count);
    plain_ = plain_.subspan(count);
    return count;
  }

  /// More than this cannot come out of the file.
  int64_t most_bytes() const { return static_cast<int64_t>(file_bytes_) * (gzip_ ? kMaxInflation : 1); }

 private:
  std::span<const std::byte> plain_;
  size_t file_bytes_;
  std::unique_ptr<GzipReader> gzip_;
};

std::optional<DType> dtype_of_code(uint32_t code) {
  switch (code) {
    case 0x08:
      return DType::kU8;
    case 0x09:
      return DType::kI8;
    case 0x0B:
      return DType::kI16;
    case 0x0C:
      return DType::kI32;
    case 0x0D:
      return DType::kF32;
    case 0x0E:
      return DType::kF64;
    default:
      return std::nullopt;
  }
}

class IdxParser {
 public:
  IdxParser(std::span<const std::byte> file, const std::string& place) : input_(file, place), place_(place) {}

  Result<OwnedTensor> parse(int64_t max_bytes) {
    OwnedTensor out;
    if (auto bad = parse_header(out)) return *std::move(bad);
    const auto bytes = dense_bytes(out.dtype, out.shape);
    if (!bytes || *bytes > max_bytes) return problem(format("expected at most {} bytes of data, got more", max_bytes));
    if (*bytes > input_.most_bytes()) {
      return problem(format("the header promises {} bytes of data, the file cannot hold them", *bytes));
    }
    out.bytes.resize(static_cast<size_t>(*bytes));
    if (auto bad = fill(out.bytes, "data")) return *std::move(bad);
    std::array<std::byte, 1> surplus{};
    const auto more = input_.read(surplus);
    if (!more) return more.problem();
    if (*more > 0) return problem(format("more data than the {} bytes that the header promises", *bytes));
    swap_byte_order(out.bytes, size_in_bytes(out.dtype));
    return out;
  }

 private:
  Problem problem(std::string message) const {
    return {.place = place_, .message = std::move(message), .cure = "It is no IDX file, or damaged."};
  }

  std::optional<Problem> fill(std::span<std::byte> out, const char* what) {
    const auto count = input_.read(out);
    if (!count) return count.problem();
    if (*count == out.size()) return std::nullopt;
    return problem(format("expected {} bytes of {}, got {}", out.size(), what, *count));
  }

  std::optional<Problem> parse_header(OwnedTensor& out) {
    std::array<std::byte, 4> magic{};
    if (auto bad = fill(magic, "header")) return bad;
    const uint32_t word = big_endian(magic);
    const auto dtype = dtype_of_code(word >> 8 & 0xff);
    const auto rank = static_cast<int64_t>(word & 0xff);
    if (word >> 16 != 0 || !dtype) return problem(format("expected an IDX header, got the bytes {:08x}", word));
    if (rank < 1 || rank > kMaxIdxRank)
      return problem(format("expected 1 to {} dimensions, got {}", kMaxIdxRank, rank));
    out.dtype = *dtype;
    for (int64_t i = 0; i < rank; ++i) {
      std::array<std::byte, 4> extent{};
      if (auto bad = fill(extent, "header")) return bad;
      out.shape.push_back(big_endian(extent));
    }
    return std::nullopt;
  }

  IdxInput input_;
  const std::string& place_;
};

}  // namespace

Result<OwnedTensor> parse_idx(std::span<const std::byte> file, const std::string& place, int64_t max_bytes) {
  return IdxParser(file, place).parse(max_bytes);
}

}  // namespace unireplk::formats
