#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "unireplk/core/result.h"

/// tar archives (POSIX ustar and pax, GNU's long names and large sizes, and what came before both), read from bytes
/// that nobody vouches for.
namespace unireplk::formats {

constexpr int64_t kTarBlockBytes = 512;
using TarBlock = std::array<std::byte, kTarBlockBytes>;

enum class TarKind { kFile, kFolder, kLink, kDevice, kOther };

struct TarMember {
  std::string name;  ///< as it stands in the archive, never empty
  TarKind kind = TarKind::kFile;
  int64_t offset = 0;  ///< of its bytes in the archive
  int64_t bytes = 0;   ///< 0 unless it is a file
};

/// Goes through the headers of a tar archive and leaves the bytes of its members alone. The bytes of a member lie
/// behind those of the one before, and within the archive. Refused: a header whose checksum is wrong, a number that is
/// none or negative, a member beyond the end, a name of more than 64 KiB, sparse files, an archive without the zeros
/// that end it (it may be cut short), and anything but zeros behind them (it may be several archives in a row).
class TarReader {
 public:
  /// Fills `out` from byte `offset` on; is asked for bytes within the archive only. \throws UserError
  using ReadAt = std::function<void(int64_t offset, std::span<std::byte> out)>;

  /// \param size   bytes of the archive.
  /// \param place  the archive, named in problems.
  TarReader(ReadAt read, int64_t size, std::string place);

  /// The next member into `member`; false at the end.
  Result<bool> next(TarMember& member);

  /// Bytes of the archive that have been dealt with.
  int64_t position() const { return at_; }

 private:
  struct Extra;

  bool step(TarMember& member);
  TarBlock read_block();
  void check_header(const TarBlock& block) const;
  bool take_record(char type, int64_t bytes, Extra& extra);
  void take_member(const TarBlock& block, int64_t bytes, std::optional<std::string> name, TarMember& member);
  std::string record(int64_t bytes);
  void read_pax(int64_t bytes, bool is_global, Extra& extra);
  void check_end();
  [[noreturn]] void refuse(std::string message) const;

  ReadAt read_;
  int64_t size_;
  std::string place_;
  int64_t at_ = 0;
  int64_t header_ = 0;  ///< where the header in hand begins
  bool ended_ = false;
};

}  // namespace unireplk::formats
