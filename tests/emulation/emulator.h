#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>

/// CUDA's threads on a CPU, so that kernels are tested where no GPU is. Every thread of a block has a stack of its own
/// and runs until it waits at a barrier or for the lanes of its warp; then the next one has its turn. One block runs
/// after the other. Nothing here says how fast a kernel is. A kernel whose result depends on the order of turns shows
/// it when that is turned round; one whose threads race is ended in either order, if it was compiled to be seen
/// (Races).
///
/// What CUDA leaves undefined ends the program with a message: a deadlock, lanes that meet under different masks or in
/// different calls, what a lane gets of one that is not there, dynamic shared memory overrun, copies nobody waited for.
namespace unireplk::emulation {

inline constexpr int kLanesOfWarp = 32;
inline constexpr size_t kSharedBytes = 232448;  ///< that a block of compute capability 9.0 may ask for
inline constexpr size_t kStaticBytes = 49152;   ///< of these without asking

enum class Order { kFirstToLast, kLastToFirst };

/// Of threads in a block and of blocks in a grid, from the next launch on.
void set_order(Order order);

/// Where the thread is whose turn it is.
struct Here {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
inline Here here;

/// End the program with what is wrong and where.
[[noreturn]] void fail(const char* what);

/// Wait for all threads of the block that have not ended.
void meet_block();

/// What each lane has handed in; null of those that did not come.
using Handed = std::array<void*, kLanesOfWarp>;
using Act = void (*)(const Handed&);

/// Wait for all lanes that `mask` names and that have not ended; the last to come calls `act` for all. Orders nothing
/// that they do to memory, and Races does not see what `act` does.
void meet_warp(unsigned mask, void* handed, Act act);

/// The same, but what lanes have done to memory before happens before what they do then.
void sync_warp(unsigned mask);

/// Let Races know what `act` reads.
void read_as_warp(const void* from, size_t bytes);

/// Shared memory is filled with 0xff before each block. 16-byte aligned.
void* dynamic_shared();

/// Where a variable lies that a block has from its first thread to come there on.
struct StaticShared {
  uint64_t block = 0;
  void* place = nullptr;
};
void* static_shared(StaticShared& variable, size_t bytes, size_t alignment);

/// Copies that take place as late as they may: when the thread waits for them.
void copy_later(void* to, const void* from, size_t bytes);
void end_group_of_copies();
void wait_for_copies(size_t groups_left);

template <class T>
T* dynamic_shared_as() {
  return static_cast<T*>(dynamic_shared());
}

/// \param key  of a type that no other declaration has.
template <class T, class Key>
T& static_shared(Key /*key*/, size_t alignment) {
  static StaticShared variable;
  return *static_cast<T*>(static_shared(variable, sizeof(T), std::max(alignof(T), alignment)));
}

/// A grid to run a kernel on.
class Launch {
 public:
  Launch(dim3 grid, dim3 block, size_t shared_bytes = 0, cudaStream_t = nullptr,
         std::source_location place = std::source_location::current())
      : grid_(grid), block_(block), shared_bytes_(shared_bytes), place_(place) {}

  /// \return what takes the kernel's arguments and runs it.
  template <class Kernel>
  auto of(Kernel kernel) const {
    return [launch = *this, kernel](auto... arguments) {
      auto body = [&] { kernel(arguments...); };
      launch.run(&body, [](void* call) { (*static_cast<decltype(body)*>(call))(); });
    };
  }

 private:
  void run(void* body, void (*call)(void*)) const;

  dim3 grid_, block_;
  size_t shared_bytes_;
  std::source_location place_;
};

}  // namespace unireplk::emulation
