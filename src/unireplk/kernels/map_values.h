#pragma once

#include <cstdint>

/// Maps of the types that passes on the CPU take: what is read becomes float32, what is written is rounded once, to the
/// nearest value and to the even one of two as near. Not-a-number stays that.
namespace unireplk::kernels {

/// The upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

enum class Element { kFloat, kBFloat16 };

/// A map to read, or none.
struct MapValues {
  MapValues() = default;
  MapValues(const float* map) : element(Element::kFloat), values(map) {}
  MapValues(const BFloat16* map) : element(Element::kBFloat16), values(map) {}

  Element element = Element::kFloat;
  const void* values = nullptr;
};

/// Memory of a map to write, or none.
struct MapMemory {
  MapMemory() = default;
  MapMemory(float* map) : element(Element::kFloat), values(map) {}
  MapMemory(BFloat16* map) : element(Element::kBFloat16), values(map) {}

  Element element = Element::kFloat;
  void* values = nullptr;
};

}  // namespace unireplk::kernels
