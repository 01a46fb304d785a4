#pragma once

#include <cstdint>
#include <string_view>

namespace unireplk {

/// FNV-1a, 64 bits: the same on every machine, and no defence against anybody. \param before  that of the text in
/// front.
constexpr uint64_t fnv1a(std::string_view text, uint64_t before = 14695981039346656037u) {
  for (const char c : text) before = (before ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return before;
}

/// Tells lists of texts and numbers apart.
class Fingerprint {
 public:
  void add(std::string_view text) {
    add(static_cast<int64_t>(text.size()));
    value_ = fnv1a(text, value_);
  }
  void add(int64_t number) {
    for (int i = 0; i < 8; ++i) {
      const char byte = static_cast<char>(static_cast<uint64_t>(number) >> 8 * i & 0xff);
      value_ = fnv1a({&byte, 1}, value_);
    }
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = fnv1a("");
};

}  // namespace unireplk
