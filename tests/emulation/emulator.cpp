#include "emulation/emulator.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "emulation/races.h"

/// Keep the registers that a callee must preserve on the present stack, leave in *from where that stands, and go on
/// with the stack `to`, which was left in the same way.
extern "C" void unireplk_switch_stack(void** from, void* to);

asm(R"(
.pushsection .text
.globl unireplk_switch_stack
.type unireplk_switch_stack, @function
unireplk_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size unireplk_switch_stack, .-unireplk_switch_stack
.popsection
)");

namespace unireplk::emulation {
namespace {

constexpr int kSavedRegisters = 6;
constexpr unsigned kMostThreads = 1024;
constexpr size_t kStackBytes = size_t{1} << 17, kGuardBytes = 256;
constexpr std::byte kPoison{0xff}, kMark{0xa5};

bool is_marked(const std::byte* from) {
  return std::all_of(from, from + kGuardBytes, [](std::byte value) { return value == kMark; });
}

struct Copy {
  void* to;
  const void* from;
  size_t bytes, group;
};

struct Thread {
  uint3 index{};
  void* stack = nullptr;
  size_t warp = 0;
  unsigned lane = 0;
  bool has_ended = false;
  std::vector<Copy> copies;
  size_t groups = 0;  // of copies, ended
};

struct Meeting {
  unsigned mask = 0, arrived = 0;
  Act act = nullptr;
  uint64_t round = 0;
};

struct Warp {
  unsigned living = 0;
  Handed handed{};
  std::array<Meeting, kLanesOfWarp> meetings{};  // by the first lane of their mask
};

void conclude(const Warp& warp, Meeting& meeting) {
  if (meeting.arrived == 0 || (meeting.mask & warp.living & ~meeting.arrived) != 0) return;
  Handed handed{};
  for (size_t lane = 0; lane < handed.size(); ++lane) {
    if ((meeting.arrived >> lane & 1) != 0) handed[lane] = warp.handed[lane];
  }
  races.pause();
  meeting.act(handed);
  meeting.arrived = 0;
  ++meeting.round;
}

/// The threads of the block that runs.
class Block {
 public:
  Order order = Order::kFirstToLast;

  void prepare(dim3 size, size_t shared_bytes);
  void run(void* body, void (*call)(void*));

  Thread& current() { return threads_[current_]; }
  void* shared() { return shared_.data(); }
  void* shared(StaticShared& variable, size_t bytes, size_t alignment);
  bool is_running() const { return living_ > 0; }

  void meet();
  void meet_warp(unsigned mask, void* handed, Act act);

 private:
  static void enter();

  std::byte* bottom_of_stack(size_t thread) const { return &stacks_[thread * kStackBytes]; }
  void prepare_thread(size_t i, dim3 size);
  void end_thread();
  void release();
  size_t next_of(size_t thread) const;
  void go_to(size_t thread, void** from);
  template <class IsOver>
  void wait(IsOver is_over);
  void check_guards() const;

  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::unique_ptr<std::byte[]> stacks_{new std::byte[kMostThreads * kStackBytes]};  // not written: pages come when used
  std::vector<std::byte> shared_ = std::vector<std::byte>(kSharedBytes + kGuardBytes);
  size_t shared_bytes_ = 0;  // dynamic, from the beginning on; behind the guard, static ones
  size_t static_bytes_ = 0;
  uint64_t number_ = 0;  // of the block, since the program began
  size_t current_ = 0, living_ = 0, waiting_ = 0;
  size_t idle_turns_ = 0;  // since a thread last came to a meeting or ended
  uint64_t round_ = 0;     // of the barrier
  void* outside_ = nullptr;
  void* body_ = nullptr;
  void (*call_)(void*) = nullptr;
};

Block block;  // one at a time, as kernels know no other place to look

void Block::prepare(dim3 size, size_t shared_bytes) {
  const size_t count = size_t{size.x} * size.y * size.z;
  if (count == 0 || count > kMostThreads) fail("a block has 1 to 1024 threads");
  if (shared_bytes > kSharedBytes) fail("more shared memory than a block may have");
  threads_.assign(count, {});
  warps_.assign((count + kLanesOfWarp - 1) / kLanesOfWarp, {});
  for (size_t i = 0; i < count; ++i) prepare_thread(i, size);
  shared_bytes_ = shared_bytes;
  static_bytes_ = 0;
  std::fill_n(shared_.begin(), shared_bytes, kPoison);
  std::fill_n(shared_.data() + shared_bytes, kGuardBytes, kMark);
  ++number_;
  races.begin_block(count, {shared_.data(), shared_.size()}, {stacks_.get(), kMostThreads * kStackBytes});
  living_ = count;
  waiting_ = idle_turns_ = 0;
}

void* Block::shared(StaticShared& variable, size_t bytes, size_t alignment) {
  if (variable.block == number_) return variable.place;
  std::byte* const first = shared_.data() + shared_bytes_ + kGuardBytes;
  const auto next = reinterpret_cast<uintptr_t>(first + static_bytes_);
  static_bytes_ += (alignment - next % alignment) % alignment;
  variable = {number_, first + static_bytes_};
  static_bytes_ += bytes;
  if (static_bytes_ > kStaticBytes) fail("more static shared memory than a block has");
  if (shared_bytes_ + static_bytes_ > kSharedBytes) fail("more shared memory than a block may have");
  std::fill_n(static_cast<std::byte*>(variable.place), bytes, kPoison);
  return variable.place;
}

void Block::prepare_thread(size_t i, dim3 size) {
  std::byte* const bottom = bottom_of_stack(i);
  std::fill_n(bottom, kGuardBytes, kMark);
  const auto top = reinterpret_cast<uintptr_t>(bottom + kStackBytes) / 16 * 16;
  auto** stack = reinterpret_cast<void**>(top);
  *--stack = nullptr;  // where enter() would return to
  *--stack = reinterpret_cast<void*>(&enter);
  const auto at = static_cast<unsigned>(i);
  Thread& thread = threads_[i];
  thread.stack = stack - kSavedRegisters;
  thread.index = {at % size.x, at / size.x % size.y, at / size.x / size.y};
  thread.warp = i / kLanesOfWarp;
  thread.lane = at % kLanesOfWarp;
  warps_[thread.warp].living |= 1U << thread.lane;
}

void Block::run(void* body, void (*call)(void*)) {
  body_ = body;
  call_ = call;
  go_to(order == Order::kFirstToLast ? 0 : threads_.size() - 1, &outside_);
  check_guards();
}

void Block::check_guards() const {
  if (!is_marked(shared_.data() + shared_bytes_)) fail("a block wrote behind its dynamic shared memory");
  for (size_t i = 0; i < threads_.size(); ++i) {
    if (!is_marked(bottom_of_stack(i))) fail("a thread took more stack than it has");
  }
}

void Block::enter() {
  block.call_(block.body_);
  block.end_thread();
}

void Block::end_thread() {
  Thread& thread = current();
  if (!thread.copies.empty()) fail("a thread ended without waiting for its copies");
  thread.has_ended = true;
  races.end_thread(current_);
  --living_;
  idle_turns_ = 0;
  Warp& warp = warps_[thread.warp];
  warp.living &= ~(1U << thread.lane);
  for (auto& meeting : warp.meetings) conclude(warp, meeting);
  release();
  void* ended = nullptr;
  if (living_ == 0) {
    races.pause();
    unireplk_switch_stack(&ended, outside_);
  } else {
    go_to(next_of(current_), &ended);
  }
  fail("a thread ran on that had ended");
}

void Block::release() {
  if (waiting_ == 0 || waiting_ < living_) return;
  waiting_ = 0;
  ++round_;
  races.pass_barrier();
}

size_t Block::next_of(size_t thread) const {
  const size_t count = threads_.size(), step = order == Order::kFirstToLast ? 1 : count - 1;
  do {
    thread = (thread + step) % count;
  } while (threads_[thread].has_ended);
  return thread;
}

void Block::go_to(size_t thread, void** from) {
  current_ = thread;
  here.thread = threads_[thread].index;
  races.resume(thread);
  unireplk_switch_stack(from, threads_[thread].stack);
}

/// Once every living thread had a turn in which it did nothing but wait, none will do more.
template <class IsOver>
void Block::wait(IsOver is_over) {
  while (!is_over()) {
    if (++idle_turns_ > living_) fail("deadlock: every thread waits for another");
    const size_t next = next_of(current_);
    if (next != current_) go_to(next, &current().stack);
  }
}

void Block::meet() {
  idle_turns_ = 0;
  const uint64_t round = round_;
  ++waiting_;
  release();
  wait([&] { return round_ != round; });
}

void Block::meet_warp(unsigned mask, void* handed, Act act) {
  idle_turns_ = 0;
  const Thread& thread = current();
  Warp& warp = warps_[thread.warp];
  if ((mask >> thread.lane & 1) == 0) fail("a lane is not in its own mask");
  Meeting& meeting = warp.meetings[static_cast<size_t>(std::countr_zero(mask))];
  if (meeting.arrived != 0 && (meeting.mask != mask || meeting.act != act)) {
    fail("lanes meet under different masks or in different calls");
  }
  warp.handed[thread.lane] = handed;
  meeting.mask = mask;
  meeting.act = act;
  meeting.arrived |= 1U << thread.lane;
  const uint64_t round = meeting.round;
  conclude(warp, meeting);
  wait([&] { return meeting.round != round; });
  races.resume(current_);
}

/// Call visit(x, y, z) for each block of a grid.
template <class Visit>
void each_block(dim3 grid, Order order, Visit visit) {
  const uint64_t count = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = order == Order::kFirstToLast ? i : count - 1 - i;
    visit(uint3{static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)});
  }
}

std::source_location launch;  // of the kernel that runs, or ran last

}  // namespace

void fail(const char* what) {
  const auto& [thread, of, block_size, grid_size] = here;
  std::fprintf(stderr, "emulation: %s; block (%u, %u, %u), thread (%u, %u, %u)", what, of.x, of.y, of.z, thread.x,
               thread.y, thread.z);
  std::fprintf(stderr, " of launch %s:%u, %s\n", launch.file_name(), launch.line(), launch.function_name());
  std::abort();
}

void set_order(Order order) { block.order = order; }

void meet_block() { block.meet(); }

void meet_warp(unsigned mask, void* handed, Act act) { block.meet_warp(mask, handed, act); }

void sync_warp(unsigned mask) {
  block.meet_warp(mask, &block.current(), [](const Handed& threads) {
    uint32_t lanes = 0;
    for (size_t lane = 0; lane < threads.size(); ++lane) lanes |= uint32_t{threads[lane] != nullptr} << lane;
    races.join_lanes(block.current().warp, lanes);
  });
}

void read_as_warp(const void* from, size_t bytes) { races.read_together(block.current().warp, from, bytes); }

void* dynamic_shared() { return block.shared(); }

void* static_shared(StaticShared& variable, size_t bytes, size_t alignment) {
  return block.shared(variable, bytes, alignment);
}

void copy_later(void* to, const void* from, size_t bytes) {
  const auto is_aligned = [&](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; };
  if (bytes != 4 && bytes != 8 && bytes != 16) fail("a copy has 4, 8 or 16 bytes");
  if (!is_aligned(to) || !is_aligned(from)) fail("a copy is not aligned to its size");
  races.begin_copy(to, from, bytes);
  Thread& thread = block.current();
  thread.copies.push_back({to, from, bytes, thread.groups});
}

void end_group_of_copies() { ++block.current().groups; }

void wait_for_copies(size_t groups_left) {
  Thread& thread = block.current();
  std::erase_if(thread.copies, [&](const Copy& copy) {
    const bool is_due = copy.group + groups_left < thread.groups;
    if (!is_due) return false;
    std::memcpy(copy.to, copy.from, copy.bytes);
    races.end_copy(copy.to, copy.from, copy.bytes);
    return true;
  });
}

void Launch::run(void* body, void (*call)(void*)) const {
  if (block.is_running()) fail("a kernel launched another");
  if (grid_.x == 0 || grid_.y == 0 || grid_.z == 0 || grid_.y > 0xffff || grid_.z > 0xffff) fail("no such grid");
  here.block_size = block_;
  here.grid_size = grid_;
  launch = place_;
  races.begin_launch();
  each_block(grid_, block.order, [&](uint3 index) {
    here.block = index;
    block.prepare(block_, shared_bytes_);
    block.run(body, call);
  });
}

}  // namespace unireplk::emulation
