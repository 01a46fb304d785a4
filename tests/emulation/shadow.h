#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <unordered_map>

namespace unireplk::emulation {

/// When a thread came to memory.
struct Stamp {
  uint32_t block = 0;     ///< the thread's, of all that ever ran, from 1 on
  uint16_t barriers = 0;  ///< that the block had behind it
  uint16_t syncs = 0;     ///< __syncwarp() that the warp had behind it
};

/// Who came to a byte.
struct Cell {
  /// The last to write.
  struct Write {
    Stamp at;
    uint16_t thread = 0;  ///< of its block
    uint16_t open = 0;    ///< 1: by an asynchronous copy that nobody has waited for
  };

  /// Those who have read since, but for readers whom later ones have seen.
  struct Reads {
    Stamp at;            ///< of the last
    uint32_t lanes = 0;  ///< of `warp`
    uint16_t warp = 0;   ///< or one of those below
    uint16_t open = 0;   ///< asynchronous copies from here that nobody has waited for
  };
  static constexpr uint16_t kSeveralWarps = 0xfffe, kSeveralBlocks = 0xffff;

  Write write;
  Reads reads;

  bool is_same(const Cell& other) const { return std::memcmp(this, &other, sizeof *this) == 0; }
};
static_assert(std::has_unique_object_representations_v<Cell>);

/// A cell for each byte of memory that has been asked for.
class Shadow {
 public:
  /// Forget everything, if that is much.
  void tidy_up() {
    if (pages_.size() <= kManyPages) return;
    pages_.clear();
    recent_ = {};
  }

  /// Change every cell; those that are the same become the same.
  template <class Change>
  void change_cells(uintptr_t address, size_t bytes, Change change) {
    while (bytes > 0) {
      const size_t in_page = address % kPage, count = std::min(bytes, kPage - in_page);
      Cell* const cells = page(address / kPage) + in_page;
      const Cell before = cells[0];
      change(cells[0]);
      for (size_t i = 1; i < count; ++i) {  // the bytes of a value have mostly the same past
        cells[i].is_same(before) ? void(cells[i] = cells[0]) : change(cells[i]);
      }
      address += count;
      bytes -= count;
    }
  }

 private:
  static constexpr size_t kPage = 4096, kRecent = 256, kManyPages = 1024;

  struct Recent {
    uintptr_t number = 0;
    Cell* cells = nullptr;
  };

  Cell* page(uintptr_t number) {
    auto& recent = recent_[number % kRecent];
    if (!recent.cells || recent.number != number) {
      auto& cells = pages_[number];
      if (!cells) cells.reset(new Cell[kPage]);
      recent = {number, cells.get()};
    }
    return recent.cells;
  }

  std::unordered_map<uintptr_t, std::unique_ptr<Cell[]>> pages_;
  std::array<Recent, kRecent> recent_{};
};

}  // namespace unireplk::emulation
