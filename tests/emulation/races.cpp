#include "emulation/races.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <cstdio>

#include "emulation/emulator.h"

namespace unireplk::emulation {
namespace {

uint3 index_of(size_t thread) {
  const auto at = static_cast<unsigned>(thread);
  const dim3& size = here.block_size;
  return {at % size.x, at / size.x % size.y, at / size.x / size.y};
}

uint16_t next_after(uint16_t count) {
  if (count == UINT16_MAX) fail("more barriers than are counted");
  return count + 1;
}

/// For addr2line.
uintptr_t offset_in_program(const void* code) {
  Dl_info info;
  if (dladdr(code, &info) == 0) return 0;
  return reinterpret_cast<uintptr_t>(code) - reinterpret_cast<uintptr_t>(info.dli_fbase);
}

}  // namespace

Races races;

void Races::begin_launch() {
  first_block_ = block_ + 1;
  shadow_.tidy_up();
}

void Races::begin_block(size_t threads, const Memory& shared, const Memory& stacks) {
  shared_ = shared;
  stacks_ = stacks;
  ++block_;
  barriers_ = 0;
  threads_.assign(threads, {});
  warps_.assign((threads + kLanes - 1) / kLanes, {});
}

void Races::resume(size_t thread) {
  me_ = thread;
  is_watching_ = true;
}

void Races::pass_barrier() {
  barriers_ = next_after(barriers_);
  for (auto& thread : threads_) {
    if (!thread.has_ended) thread.barriers = barriers_;
  }
  for (size_t i = 0; i < threads_.size(); ++i) {
    if (!threads_[i].has_ended) continue;
    const size_t first = i / kLanes * kLanes, last = std::min(first + kLanes, threads_.size());
    for (size_t mate = first; mate < last; ++mate) {
      if (threads_[mate].has_ended) continue;
      threads_[i].passed_on = std::max(threads_[i].passed_on, threads_[mate].seen[i % kLanes]);
    }
  }
}

void Races::join_lanes(size_t warp, uint32_t lanes) {
  uint16_t& syncs = warps_[warp].syncs;
  syncs = next_after(syncs);
  Thread* const threads = &threads_[warp * kLanes];
  std::array<uint16_t, kLanes> seen{};
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if ((lanes >> lane & 1) == 0) continue;
    for (size_t i = 0; i < kLanes; ++i) seen[i] = std::max(seen[i], threads[lane].seen[i]);
  }
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if ((lanes >> lane & 1) != 0) seen[lane] = syncs;
  }
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if ((lanes >> lane & 1) != 0) threads[lane].seen = seen;
  }
}

bool Races::has_happened(const Stamp& at, size_t thread) const {
  if (at.block != block_) return false;
  if (thread == me_ || at.barriers < threads_[thread].barriers || at.syncs < threads_[thread].passed_on) return true;
  return thread / kLanes == me_ / kLanes && at.syncs < threads_[me_].seen[thread % kLanes];
}

uint32_t Races::unseen(const Cell::Reads& reads) const {
  uint32_t lanes = reads.lanes & ~(1U << me_ % kLanes);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if (reads.at.syncs < threads_[me_].seen[lane]) lanes &= ~(1U << lane);
  }
  return lanes;
}

void Races::check_after_write(const Access& access, const Cell::Write& write) const {
  if (is_of_earlier_block(write.at, access.is_shared)) return;
  if (write.open != 0) fail_race(access, write.at, "an asynchronous copy of", write.thread, "may still write");
  if (!has_happened(write.at, write.thread)) fail_race(access, write.at, "", write.thread, "has written");
}

void Races::check_after_reads(const Access& access, const Cell::Reads& reads) const {
  if (reads.open > 0) fail_access(access, "from where an asynchronous copy may still read");
  if (is_of_earlier_block(reads.at, access.is_shared)) return;
  if (reads.warp == Cell::kSeveralBlocks) fail_access(access, "which other blocks have read");
  const size_t lane = static_cast<size_t>(std::countr_zero(reads.lanes));
  if (reads.at.block != block_) fail_race(access, reads.at, "", reads.warp * kLanes + lane, "has read");
  if (reads.at.barriers < barriers_) return;
  if (reads.warp == Cell::kSeveralWarps) fail_access(access, "which several warps have read since the last barrier");
  const uint32_t others = reads.warp == me_ / kLanes ? unseen(reads) : reads.lanes;
  if (others == 0) return;
  fail_race(access, reads.at, "", reads.warp * kLanes + static_cast<size_t>(std::countr_zero(others)), "has read");
}

/// Readers that the present ones have seen are forgotten: what happens after these happens after those.
void Races::note(Cell::Reads& reads, uint32_t lanes, bool is_shared) const {
  const auto warp = static_cast<uint16_t>(me_ / kLanes);
  const auto replace = [&] {
    reads.at = now();
    reads.lanes = lanes;
    reads.warp = warp;
  };
  if (is_of_earlier_block(reads.at, is_shared)) return replace();
  if (reads.warp == Cell::kSeveralBlocks) return;
  if (reads.at.block != block_) {
    reads.warp = Cell::kSeveralBlocks;
    return;
  }
  if (reads.at.barriers < barriers_) return replace();
  if (reads.warp == warp) {
    lanes |= unseen(reads);
    return replace();
  }
  reads.warp = Cell::kSeveralWarps;
}

/// Whether the thread, or all threads, may have read since the last write, with nothing more to be noted.
bool Races::is_known(const Cell::Reads& reads, bool is_shared) const {
  if (is_of_earlier_block(reads.at, is_shared)) return false;
  if (reads.warp == Cell::kSeveralBlocks) return true;
  if (reads.at.block != block_ || reads.at.barriers != barriers_) return false;
  if (reads.warp == Cell::kSeveralWarps) return true;
  return reads.warp == me_ / kLanes && reads.at.syncs == warps_[reads.warp].syncs &&
         (reads.lanes >> me_ % kLanes & 1) != 0;
}

void Races::read(const Access& access, Cell& cell) {
  if (access.is_shared && cell.write.at.block != block_) fail_access(access, "which its block has not written");
  if (is_known(cell.reads, access.is_shared)) return;
  check_after_write(access, cell.write);
  note(cell.reads, 1U << me_ % kLanes, access.is_shared);
}

void Races::write(const Access& access, Cell& cell) {
  check_after_write(access, cell.write);
  check_after_reads(access, cell.reads);
  cell.write = {now(), static_cast<uint16_t>(me_), 0};
  cell.reads = {};
}

Races::Access Races::access_to(const void* memory, size_t bytes, const char* what, const void* code) const {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  return {address, bytes, shared_.has(address), what, code};
}

void Races::begin_copy(const void* to, const void* from, size_t bytes) {
  const auto source = access_to(from, bytes, "begins to copy from"), target = access_to(to, bytes, "begins to copy to");
  shadow_.change_cells(source.address, bytes, [&](Cell& cell) {
    read(source, cell);
    ++cell.reads.open;
  });
  shadow_.change_cells(target.address, bytes, [&](Cell& cell) {
    write(target, cell);
    cell.write.open = 1;
  });
}

void Races::end_copy(const void* to, const void* from, size_t bytes) {
  const auto source = access_to(from, bytes, "has copied from"), target = access_to(to, bytes, "has copied to");
  shadow_.change_cells(source.address, bytes, [&](Cell& cell) {
    --cell.reads.open;
    read(source, cell);
  });
  shadow_.change_cells(target.address, bytes, [&](Cell& cell) {
    cell.write.open = 0;
    write(target, cell);
  });
}

/// Every lane has to have seen who wrote.
void Races::read_together(size_t warp, const void* from, size_t bytes) {
  const auto access = access_to(from, bytes, "reads together with its warp");
  const size_t caller = me_, first = warp * kLanes;
  shadow_.change_cells(access.address, bytes, [&](Cell& cell) {
    const size_t writer = cell.write.thread;
    const bool may_differ = cell.write.at.block == block_ && writer / kLanes == warp;  // what lanes have seen
    for (me_ = first; me_ < first + (may_differ ? kLanes : 1); ++me_) check_after_write(access, cell.write);
    me_ = first;
    note(cell.reads, ~0U, access.is_shared);
  });
  me_ = caller;
}

void Races::see(const void* memory, size_t bytes, bool writes, const void* code) {
  if (!is_watching_) return;
  const auto address = reinterpret_cast<uintptr_t>(memory);
  if (stacks_.has(address) || Memory(&here, sizeof here).has(address)) return;
  const auto access = access_to(memory, bytes, writes ? "writes" : "reads", code);
  shadow_.change_cells(address, bytes, [&](Cell& cell) { writes ? write(access, cell) : read(access, cell); });
}

void Races::fail_race(const Access& access, const Stamp& other, const char* who, size_t thread, const char* did) const {
  const uint3 index = index_of(thread);
  char why[200];
  std::snprintf(why, sizeof why, "which%s%s thread (%u, %u, %u) of %s block %s, and neither happens before the other",
                *who ? " " : "", who, index.x, index.y, index.z, other.block == block_ ? "its" : "another", did);
  fail_access(access, why);
}

void Races::fail_access(const Access& access, const char* why) const {
  char message[500];
  std::snprintf(message, sizeof message, "a race: a thread %s %zu bytes of %s memory at %s0x%zx, %s (addr2line: 0x%zx)",
                access.what, access.bytes, access.is_shared ? "shared" : "global", access.is_shared ? "its byte " : "",
                static_cast<size_t>(access.is_shared ? access.address - shared_.first : access.address), why,
                access.code ? offset_in_program(access.code) : size_t{0});
  here.thread = index_of(me_);
  fail(message);
}

}  // namespace unireplk::emulation
