#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "emulation/shadow.h"

namespace unireplk::emulation {

/// Ends the program when two threads race: both come to a byte of global or shared memory, one of them at least to
/// write, and neither access happens before the other. Whether they do does not depend on the order of turns. Also when
/// a thread reads shared memory that its block has not written.
///
/// What happens before what, where CUDA promises it:
/// - a thread's accesses in the order of its code;
/// - what threads did that came to a barrier of the block before what follows it. One that ended has not come to those
///   that follow; that its loads have been answered by then is all that is taken for granted;
/// - what lanes did that came to a __syncwarp() before what follows it in these lanes. Shuffles, ldmatrix and mma order
///   nothing;
/// - a launch before the next. Blocks of one launch have no order;
/// - an asynchronous copy after what precedes it in its thread, and before what follows the thread's wait for it, but
///   no other thing between, of that thread neither.
///
/// Threads of different warps are ordered by barriers alone, to which all living threads of a block come: a count of
/// barriers is clock enough for them. Lanes of a warp have clocks of each other.
///
/// Exact but where __syncwarp() joins lanes under masks that overlap in part: readers that are ordered may count as
/// unordered there, never the other way round.
///
/// It sees the accesses of code compiled with -fsanitize=thread, but for stacks of threads, and what is reported by
/// hand.
class Races {
 public:
  struct Memory {
    uintptr_t first = 0;
    size_t bytes = 0;

    Memory() = default;
    Memory(const void* from, size_t count) : first(reinterpret_cast<uintptr_t>(from)), bytes(count) {}
    bool has(uintptr_t address) const { return address - first < bytes; }
  };

  void begin_launch();
  void begin_block(size_t threads, const Memory& shared, const Memory& stacks);

  /// What is seen from now on are accesses of `thread`, or, until then, of nobody.
  void resume(size_t thread);
  void pause() { is_watching_ = false; }

  void pass_barrier();
  void end_thread(size_t thread) { threads_[thread].has_ended = true; }
  void join_lanes(size_t warp, uint32_t lanes);

  void begin_copy(const void* to, const void* from, size_t bytes);
  void end_copy(const void* to, const void* from, size_t bytes);

  /// Read as a warp, of which any lane may get any part. Whether that was written is not asked.
  void read_together(size_t warp, const void* from, size_t bytes);

  /// What code compiled with -fsanitize=thread did, at `code`.
  void see(const void* memory, size_t bytes, bool writes, const void* code);

 private:
  static constexpr size_t kLanes = 32;

  struct Thread {
    uint16_t barriers = 0;                ///< it came to
    uint16_t passed_on = 0;               ///< before how many __syncwarp() what it did lanes took to a barrier
    std::array<uint16_t, kLanes> seen{};  ///< before how many __syncwarp() what lanes did happens before now
    bool has_ended = false;
  };
  struct Warp {
    uint16_t syncs = 0;
  };
  struct Access {
    uintptr_t address;
    size_t bytes;
    bool is_shared;
    const char* what;
    const void* code;
  };

  Access access_to(const void* memory, size_t bytes, const char* what, const void* code = nullptr) const;
  void read(const Access& access, Cell& cell);
  void write(const Access& access, Cell& cell);
  void check_after_write(const Access& access, const Cell::Write& write) const;
  void check_after_reads(const Access& access, const Cell::Reads& reads) const;
  bool is_known(const Cell::Reads& reads, bool is_shared) const;
  void note(Cell::Reads& reads, uint32_t lanes, bool is_shared) const;

  bool has_happened(const Stamp& at, size_t thread) const;
  bool is_of_earlier_block(const Stamp& at, bool is_shared) const {
    return at.block < (is_shared ? block_ : first_block_);
  }
  uint32_t unseen(const Cell::Reads& reads) const;
  Stamp now() const { return {block_, barriers_, warps_[me_ / kLanes].syncs}; }

  [[noreturn]] void fail_race(const Access& access, const Stamp& other, const char* who, size_t thread,
                              const char* did) const;
  [[noreturn]] void fail_access(const Access& access, const char* why) const;

  Shadow shadow_;
  Memory shared_, stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  uint32_t block_ = 0, first_block_ = 1;  // of all that ever ran, and of the launch
  uint16_t barriers_ = 0;
  size_t me_ = 0;
  bool is_watching_ = false;
};

/// Of the emulator.
extern Races races;

}  // namespace unireplk::emulation
