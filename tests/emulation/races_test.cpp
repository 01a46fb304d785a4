#include "emulation/races.h"

#include <cuda_pipeline_primitives.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "emulation/device.h"
#include "support/catch.h"
#include "support/child.h"
#include "unireplk/kernels/cuda/mma.cuh"

/// Compiled as kernels are: what these do to memory is seen.
namespace unireplk::emulation {
namespace {

using Catch::Matchers::Contains;

constexpr size_t kShared = 1024;
constexpr auto kEach = {Order::kFirstToLast, Order::kLastToFirst};

/// What a kernel is ended with; nothing when it is not.
template <class Kernel, class... Arguments>
std::string complaint(Order order, dim3 grid, dim3 block, Kernel kernel, Arguments... arguments) {
  std::FILE* const file = std::tmpfile();
  test::Child child([&] {
    std::signal(SIGABRT, SIG_DFL);  // else Catch2 reports it
    dup2(fileno(file), STDERR_FILENO);
    set_order(order);
    Launch(grid, block, kShared).of(kernel)(arguments...);
  });
  const int status = child.wait();
  std::rewind(file);
  std::string text(1000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  CHECK(status == (text.empty() ? 0 : 128 + SIGABRT));
  return text;
}

/// Run two kernels that differ in what orders their accesses: kOrdered has it.
#define CHECK_RACE(grid, block, kernel, message, ...)                                               \
  for (const auto order : kEach) {                                                                  \
    CHECK_THAT(complaint(order, grid, block, kernel<false> __VA_OPT__(, ) __VA_ARGS__),             \
               Contains("a race") && Contains(message));                                            \
    CHECK(complaint(order, grid, block, kernel<true> __VA_OPT__(, ) __VA_ARGS__) == std::string()); \
  }

template <bool kOrdered>
void exchange_in_block(int* out) {
  int* const shared = dynamic_shared_as<int>();
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kOrdered) __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 32) % 64];
}

template <bool kOrdered>
void exchange_in_static_memory(int* out) {
  auto& shared = static_shared<int[64]>([] {}, 1);
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kOrdered) __syncthreads();
  out[threadIdx.x] = shared[63 - threadIdx.x];
}

template <bool kOrdered>
void exchange_in_warp(int* out) {
  int* const shared = dynamic_shared_as<int>();
  shared[threadIdx.x] = static_cast<int>(threadIdx.x);
  kOrdered ? __syncwarp() : void(__shfl_xor_sync(~0U, 1, 1));  // which meets, but orders nothing
  out[threadIdx.x] = shared[threadIdx.x ^ 1];
}

template <bool kOrdered>
void overwrite_what_lanes_read(int* out) {
  int* const shared = dynamic_shared_as<int>();
  shared[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x ^ 1];
  if (kOrdered) __syncwarp();
  shared[threadIdx.x] = 1;
}

template <bool kOrdered>
void overwrite_what_warps_read(int* out) {
  int* const shared = dynamic_shared_as<int>();
  if (threadIdx.x == 0) shared[0] = 0;
  __syncthreads();
  out[threadIdx.x] = shared[0];
  if (kOrdered) __syncthreads();
  if (threadIdx.x == 40) shared[0] = 1;
}

/// A warp alone does not order what other warps do.
template <bool kOrdered>
void sync_warps_only(int* out) {
  int* const shared = dynamic_shared_as<int>();
  shared[threadIdx.x] = 0;
  kOrdered ? __syncthreads() : __syncwarp();
  out[threadIdx.x] = shared[threadIdx.x ^ 32];
}

/// Halves of a warp meet under masks of their own; lane 1 reads of lane 0 or of the other half.
template <bool kOrdered>
void sync_halves(int* out) {
  int* const shared = dynamic_shared_as<int>();
  shared[threadIdx.x] = 0;
  __syncwarp(threadIdx.x < 16 ? 0xffffU : 0xffff0000U);
  out[threadIdx.x] = shared[threadIdx.x ^ (kOrdered ? 1 : 16)];
}

/// Lane 0 to lane 1, and of this to lane 2.
template <bool kOrdered>
void sync_in_a_chain(int* out) {
  int* const shared = dynamic_shared_as<int>();
  if (threadIdx.x == 0) shared[0] = 1;
  if (threadIdx.x < 2) __syncwarp(3U);
  if (threadIdx.x == 1 || threadIdx.x == 2) __syncwarp(kOrdered ? 6U : 1U << threadIdx.x);
  if (threadIdx.x == 2) out[0] = shared[0];
}

/// Thread 0 ends before the barrier, which orders nothing that it did, unless a lane has seen it.
template <bool kOrdered>
void end_before_barrier(int* out) {
  int* const shared = dynamic_shared_as<int>();
  if (threadIdx.x == 0) shared[0] = 1;
  if (kOrdered) __syncwarp();
  if (threadIdx.x == 0) return;
  __syncthreads();
  if (threadIdx.x == 40) out[0] = shared[0];
}

template <bool kOrdered>
void write_bytes(int* /*out*/) {
  auto* const shared = dynamic_shared_as<unsigned char>();
  shared[threadIdx.x / (kOrdered ? 1 : 2)] = 1;
}

template <bool kOrdered>
void write_in_blocks(int* out) {
  out[kOrdered ? blockIdx.x : 0] = 1;
}

template <bool kOrdered>
void read_what_blocks_write(int* out) {
  if (blockIdx.x == 0) out[0] = 1;
  out[1 + blockIdx.x] = out[kOrdered ? 1 + blockIdx.x : 0];
}

template <bool kOrdered>
void write_what_blocks_read(int* out) {
  out[1 + blockIdx.x] = kOrdered ? 0 : out[0];
  if (blockIdx.x == 1) out[0] = 1;
}

template <bool kOrdered>
void use_copy(int* out, const int* from) {
  int* const shared = dynamic_shared_as<int>();
  __pipeline_memcpy_async(shared + threadIdx.x, from + threadIdx.x, sizeof(int));
  __pipeline_commit();
  if (kOrdered) __pipeline_wait_prior(0);
  out[threadIdx.x] = shared[threadIdx.x];
  __pipeline_wait_prior(0);
}

template <bool kOrdered>
void use_copy_of_others(int* out, const int* from) {
  int* const shared = dynamic_shared_as<int>();
  __pipeline_memcpy_async(shared + threadIdx.x, from + threadIdx.x, sizeof(int));
  __pipeline_commit();
  if (!kOrdered) __syncthreads();
  __pipeline_wait_prior(0);
  if (kOrdered) __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x ^ 32];
}

template <bool kOrdered>
void copy_over_what_is_read(int* out, const int* from) {
  int* const shared = dynamic_shared_as<int>();
  shared[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x ^ 32];
  if (kOrdered) __syncthreads();
  __pipeline_memcpy_async(shared + threadIdx.x, from + threadIdx.x, sizeof(int));
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

template <bool kOrdered>
void change_what_is_copied(int* out) {
  __pipeline_memcpy_async(dynamic_shared_as<int>() + threadIdx.x, out + threadIdx.x, sizeof(int));
  __pipeline_commit();
  if (kOrdered) __pipeline_wait_prior(0);
  out[threadIdx.x] = 1;
  __pipeline_wait_prior(0);
}

template <bool kOrdered>
void fetch_what_lanes_wrote(int* /*out*/) {
  auto* const row = dynamic_shared_as<uint16_t>() + 8 * threadIdx.x;
  for (int i = 0; i < 8; ++i) row[i] = 0;
  if (kOrdered) __syncwarp();
  uint32_t fragments[4];
  kernels::cuda::fetch_matrices(fragments, row);
}

template <bool kOrdered>
void overwrite_what_was_fetched(int* /*out*/) {
  auto* const row = dynamic_shared_as<uint16_t>() + 8 * threadIdx.x;
  for (int i = 0; i < 8; ++i) row[i] = 0;
  __syncwarp();
  uint32_t fragments[4];
  kernels::cuda::fetch_transposed(fragments, row);
  if (kOrdered) __syncwarp();
  row[0] = 1;
}

template <bool kOrdered>
void read_what_nobody_wrote(int* out) {
  int* const shared = dynamic_shared_as<int>();
  if (kOrdered || blockIdx.x == 0) shared[threadIdx.x] = 1;  // block 1 finds what block 0 left
  out[32 * blockIdx.x + threadIdx.x] = shared[threadIdx.x];
}

template <bool kOrdered>
void read_what_nobody_wrote_in_static_memory(int* out) {
  auto& shared = static_shared<int[32]>([] {}, 1);
  if (kOrdered || threadIdx.x != 7) shared[threadIdx.x] = 1;
  out[threadIdx.x] = shared[threadIdx.x];
}

/// On the device, for all kernels here.
struct Buffers {
  std::vector<int> out = std::vector<int>(64), from = std::vector<int>(64);
};

TEST_CASE("races: found in shared memory where a barrier of the block is missing") {
  Buffers on;
  CHECK_RACE(1, 64, exchange_in_block, "of shared memory", on.out.data());
  CHECK_RACE(1, 64, exchange_in_static_memory, "of shared memory", on.out.data());
  CHECK_RACE(1, 64, overwrite_what_warps_read, "several warps have read", on.out.data());
  CHECK_RACE(1, 64, sync_warps_only, "of shared memory", on.out.data());
  CHECK_RACE(1, 64, end_before_barrier, "thread (0, 0, 0) of its block has written", on.out.data());
  CHECK_RACE(1, 64, write_bytes, "writes 1 bytes", on.out.data());
}

TEST_CASE("races: found between lanes that no __syncwarp() orders") {
  Buffers on;
  CHECK_RACE(1, 32, exchange_in_warp, "of shared memory", on.out.data());
  CHECK_RACE(1, 32, overwrite_what_lanes_read, "of shared memory", on.out.data());
  CHECK_RACE(1, 32, sync_halves, "of shared memory", on.out.data());
  CHECK_RACE(1, 32, sync_in_a_chain, "of shared memory", on.out.data());
  CHECK_RACE(1, 32, fetch_what_lanes_wrote, "reads together with its warp", on.out.data());
  CHECK_RACE(1, 32, overwrite_what_was_fetched, "has read", on.out.data());
}

TEST_CASE("races: found between blocks of a launch") {
  Buffers on;
  CHECK_RACE(3, 1, write_in_blocks, "of another block has written", on.out.data());
  CHECK_RACE(3, 1, read_what_blocks_write, "of global memory", on.out.data());
  CHECK_RACE(3, 1, write_what_blocks_read, "of global memory", on.out.data());
}

TEST_CASE("races: found with asynchronous copies that nobody has waited for") {
  Buffers on;
  CHECK_RACE(1, 64, use_copy, "an asynchronous copy of", on.out.data(), on.from.data());
  CHECK_RACE(1, 64, use_copy_of_others, "and neither happens before the other", on.out.data(), on.from.data());
  CHECK_RACE(1, 64, copy_over_what_is_read, "and neither happens before the other", on.out.data(), on.from.data());
  CHECK_RACE(1, 64, change_what_is_copied, "from where an asynchronous copy may still read", on.out.data());
}

TEST_CASE("races: shared memory is read that no thread of the block has written") {
  Buffers on;
  CHECK_RACE(2, 32, read_what_nobody_wrote, "which its block has not written", on.out.data());
  CHECK_RACE(1, 32, read_what_nobody_wrote_in_static_memory, "which its block has not written", on.out.data());
}

TEST_CASE("races: launches come one after the other") {
  Buffers on;
  for (int i = 0; i < 2; ++i) Launch(3, 1).of(write_in_blocks<true>)(on.out.data());
  Launch(1, 64, kShared).of(exchange_in_block<true>)(on.out.data());
  CHECK(on.out[0] == 32);
}

}  // namespace
}  // namespace unireplk::emulation
