#include "emulation/emulator.h"

#include <cuda_pipeline_primitives.h>

#include <csignal>
#include <cstdio>
#include <vector>

#include "emulation/device.h"
#include "support/catch.h"
#include "support/child.h"

namespace unireplk::emulation {
namespace {

/// Whether a kernel ends the program.
template <class Kernel>
bool is_refused(dim3 block, size_t shared_bytes, Kernel kernel) {
  test::Child child([&] {
    std::signal(SIGABRT, SIG_DFL);  // else Catch2 reports it
    std::fclose(stderr);
    Launch(1, block, shared_bytes).of(kernel)();
  });
  return child.wait() == 128 + SIGABRT;
}

bool runs(dim3 block, size_t shared_bytes, void (*kernel)()) {
  test::Child child([&] { Launch(1, block, shared_bytes).of(kernel)(); });
  return child.wait() == 0;
}

unsigned in_block() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

TEST_CASE("emulator: every thread of every block runs once, between barriers all of a block") {
  for (const auto order : {Order::kFirstToLast, Order::kLastToFirst}) {
    set_order(order);
    std::vector<int> seen(2 * 3 * 2 * 60, 0);
    std::vector<int> missing(seen.size(), 0);
    Launch(dim3(2, 3, 2), dim3(5, 4, 3)).of([](int* of_all, int* of_each) {
      const unsigned first = 60 * (blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
      ++of_all[first + in_block()];
      __syncthreads();
      for (unsigned i = 0; i < 60; ++i) of_each[first + in_block()] += of_all[first + i] != 1;
    })(seen.data(), missing.data());
    CHECK(seen == std::vector<int>(seen.size(), 1));
    CHECK(missing == std::vector<int>(seen.size(), 0));
  }
  set_order(Order::kFirstToLast);
}

TEST_CASE("emulator: lanes shuffle with those of their warp under a mask") {
  std::vector<int> got(64, -1);
  Launch(1, 64).of([](int* to) {
    const unsigned lane = threadIdx.x % 32, half = lane < 16 ? 0xffffU : 0xffff0000U;
    to[threadIdx.x] = __shfl_xor_sync(half, static_cast<int>(threadIdx.x), 5);
  })(got.data());
  for (int i = 0; i < 64; ++i) CHECK(got[i] == (i ^ 5));
}

TEST_CASE("emulator: neither barriers nor warps wait for threads that have ended") {
  CHECK(runs(64, 0, [] {
    if (threadIdx.x % 32 > 20) return;
    __syncwarp();
    __syncthreads();
  }));
  CHECK(runs(64, 0, [] {
    if (threadIdx.x % 32 < 5) return;
    __syncwarp();
    __syncthreads();
  }));
}

TEST_CASE("emulator: blocks begin with poisoned shared memory, aligned to 16 bytes") {
  int wrong = 0;
  Launch(3, 8, 64).of([](int* count) {
    auto* shared = dynamic_shared_as<unsigned char>();
    *count += reinterpret_cast<uintptr_t>(shared) % 16 != 0;
    for (unsigned i = threadIdx.x; i < 64; i += 8) {
      *count += shared[i] != 0xff;
      shared[i] = 0;
    }
  })(&wrong);
  CHECK(wrong == 0);
}

TEST_CASE("emulator: static shared memory belongs to a block, poisoned, and to a declaration") {
  int wrong = 0;
  Launch(3, 8, 16).of([](int* count) {
    auto& small = static_shared<unsigned char[3]>([] {}, 1);
    auto& values = static_shared<uint64_t[8]>([] {}, 32);
    auto& same_type = static_shared<uint64_t[8]>([] {}, 1);
    *count += reinterpret_cast<uintptr_t>(&values) % 32 != 0;
    *count += values[threadIdx.x] != ~uint64_t{0} || same_type[threadIdx.x] != ~uint64_t{0};
    small[threadIdx.x % 3] = 0;
    dynamic_shared_as<char>()[threadIdx.x] = 0;
    values[threadIdx.x] = threadIdx.x;
    same_type[threadIdx.x] = 0;
    __syncthreads();
    *count += values[7 - threadIdx.x] != 7 - threadIdx.x;
  })(&wrong);
  CHECK(wrong == 0);
}

TEST_CASE("emulator: copies arrive when they are waited for, not before") {
  const uint4 from[2] = {{1, 1, 1, 1}, {2, 2, 2, 2}};
  bool is_right = false;
  Launch(1, 1, 32).of([](const uint4* values, bool* result) {
    auto* shared = dynamic_shared_as<uint4>();
    for (int i = 0; i < 2; ++i) {
      __pipeline_memcpy_async(shared + i, values + i, sizeof(uint4));
      __pipeline_commit();
    }
    const bool is_late = shared[0].x == ~0U;
    __pipeline_wait_prior(1);
    const bool is_first_there = shared[0].x == 1 && shared[1].x == ~0U;
    __pipeline_wait_prior(0);
    *result = is_late && is_first_there && shared[1].x == 2;
  })(from, &is_right);
  CHECK(is_right);
}

TEST_CASE("emulator: what CUDA leaves undefined ends the program") {
  CHECK(is_refused(64, 0, [] {  // a barrier and a warp that wait for each other
    if (threadIdx.x == 0) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  }));
  CHECK(is_refused(32, 0, [] { __syncwarp(threadIdx.x == 0 ? 3U : ~0U); }));
  CHECK(is_refused(32, 0, [] { __syncwarp(1U); }));
  CHECK(is_refused(32, 0, [] {
    if (threadIdx.x == 3) return;
    __shfl_xor_sync(~0U, 1, 1);
  }));
  CHECK(is_refused(1, 16, [] { dynamic_shared_as<char>()[16] = 0; }));
  CHECK(is_refused(1, 32, [] { __pipeline_memcpy_async(dynamic_shared_as<char>() + 8, dynamic_shared(), 16); }));
  CHECK(is_refused(1, 32, [] { __pipeline_memcpy_async(dynamic_shared_as<char>() + 16, dynamic_shared(), 16); }));
  CHECK(is_refused(1025, 0, [] {}));
  CHECK(is_refused(1, kSharedBytes + 1, [] {}));
  CHECK(is_refused(1, 0, [] { static_shared<char[kStaticBytes + 1]>([] {}, 1); }));
  CHECK(is_refused(1, kSharedBytes, [] { static_shared<char>([] {}, 1); }));
}

}  // namespace
}  // namespace unireplk::emulation
