#pragma once

#include <bit>

#include "emulation/emulator.h"
#include "unireplk/kernels/cuda/values.cuh"

/// Stands for the header of this name in src: the same functions without instructions of a GPU. Which lane holds which
/// element: PTX ISA, mma.m16n8k16 and ldmatrix.
namespace unireplk::kernels::cuda {

template <class T>
uint16_t bits_of(float value) {
  return std::bit_cast<uint16_t>(from_float<T>(value));
}

template <class T>
uint32_t pack_pair(float low, float high) {
  return bits_of<T>(low) | uint32_t{bits_of<T>(high)} << 16;
}

namespace emulated {

inline constexpr unsigned kAllLanes = ~0U;

/// Lane l names row l % 8 of matrix l / 8 and gets of each matrix the elements 2 (l % 4) and the next of row l / 4.
struct Fetch {
  const uint16_t* row;
  uint32_t* fragments;

  static const Fetch& at(const emulation::Handed& lanes, int lane) {
    if (!lanes[lane]) emulation::fail("ldmatrix takes all lanes of a warp");
    return *static_cast<const Fetch*>(lanes[lane]);
  }
};

template <bool kTransposed>
void fetch_all(const emulation::Handed& lanes) {
  for (int lane = 0; lane < kLanes; ++lane) {
    emulation::read_as_warp(Fetch::at(lanes, lane).row, 8 * sizeof(uint16_t));
    for (int matrix = 0; matrix < 4; ++matrix) {
      const auto element = [&](int row, int column) -> uint32_t {
        return Fetch::at(lanes, 8 * matrix + (kTransposed ? column : row)).row[kTransposed ? row : column];
      };
      const int row = lane / 4, column = lane % 4 * 2;
      Fetch::at(lanes, lane).fragments[matrix] = element(row, column) | element(row, column + 1) << 16;
    }
  }
}

template <bool kTransposed>
void fetch(uint32_t (&fragments)[4], const uint16_t* row) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) emulation::fail("ldmatrix takes rows at multiples of 16 bytes");
  Fetch of_lane{row, fragments};
  emulation::meet_warp(kAllLanes, &of_lane, fetch_all<kTransposed>);
}

/// A lane's share of the operands of a product, and its sums.
struct Product {
  uint32_t a[4], b[2];
  float* sums;
};

template <class T>
float half_of(uint32_t pair, int which) {
  return to_float(std::bit_cast<T>(static_cast<uint16_t>(pair >> 16 * which)));
}

/// The operands of all lanes, put together.
template <class T>
struct Operands {
  float a[16][16], b[16][8];

  explicit Operands(const emulation::Handed& lanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!lanes[lane]) emulation::fail("mma takes all lanes of a warp");
      const auto& of = *static_cast<const Product*>(lanes[lane]);
      for (int part = 0; part < 4; ++part) {
        for (int i = 0; i < 2; ++i) {
          const int along = lane % 4 * 2 + i, across = lane / 4;
          a[across + part % 2 * 8][along + part / 2 * 8] = half_of<T>(of.a[part], i);
          if (part < 2) b[along + part * 8][across] = half_of<T>(of.b[part], i);
        }
      }
    }
  }

  /// products[row][column], sums over the 16 in order.
  void multiply(float (&products)[16][8]) const {
    for (int row = 0; row < 16; ++row) {
      for (int k = 0; k < 16; ++k) {
        for (int column = 0; column < 8; ++column) products[row][column] += a[row][k] * b[k][column];
      }
    }
  }
};

template <class T>
void add_all(const emulation::Handed& lanes) {
  const Operands<T> operands(lanes);
  float products[16][8] = {};
  operands.multiply(products);
  for (int lane = 0; lane < kLanes; ++lane) {
    float* sums = static_cast<const Product*>(lanes[lane])->sums;
    for (int i = 0; i < 4; ++i) sums[i] += products[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

}  // namespace emulated

inline void fetch_matrices(uint32_t (&fragments)[4], const uint16_t* row) { emulated::fetch<false>(fragments, row); }

inline void fetch_transposed(uint32_t (&fragments)[4], const uint16_t* row) { emulated::fetch<true>(fragments, row); }

template <class T>
void add_product(float (&sums)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  emulated::Product of_lane{{a0, a1, a2, a3}, {b0, b1}, sums};
  emulation::meet_warp(emulated::kAllLanes, &of_lane, emulated::add_all<T>);
}

/// A [16, 8], B [8, 8]: the rest of both is zero.
template <class T>
void add_product(float (&sums)[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  add_product<T>(sums, a0, a1, 0U, 0U, b0, 0U);
}

}  // namespace unireplk::kernels::cuda
