#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace unireplk::test {

using Bytes = std::vector<std::byte>;

/// Changes bytes in any way.
using Change = std::function<void(Bytes&)>;

/// One parser or decoder under test. Every `<name>_fuzz.cpp` defines kTarget.
struct Target {
  /// Parse the bytes and hold what comes out to its contract.
  ///
  /// \return whether they got past the header, to the code that a search is after. Each target says what it counts.
  bool (*try_bytes)(std::span<const std::byte> bytes);

  /// Change what lies behind lengths and checksums, and make those fit, as a blind change breaks them. Bytes that do
  /// not get past the header become the content of a small file. Null where blind changes do.
  void (*change_within)(Bytes& bytes, const Change& change, std::mt19937& random) = nullptr;
};
extern const Target kTarget;

/// End the program when a contract does not hold, so that a fuzzer keeps the bytes that did it.
inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken contract: %s\n", what);
  std::abort();
}

inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Three of four changes go within, where the target knows how.
inline void change_somewhere(Bytes& bytes, const Change& change, std::mt19937& random) {
  if (kTarget.change_within && random() % 4 != 0) {
    kTarget.change_within(bytes, change, random);
  } else {
    change(bytes);
  }
}

/// The same for the bytes from `begin` on.
inline void change_behind(size_t begin, Bytes& bytes, const Change& change) {
  const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
  Bytes part(at, bytes.end());
  change(part);
  bytes.resize(begin);
  bytes.insert(bytes.end(), part.begin(), part.end());
}

/// Put a text in the place of `size` bytes.
inline void put_text(Bytes& bytes, size_t begin, size_t size, std::string_view text) {
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
  const auto at = bytes.erase(first, first + static_cast<std::ptrdiff_t>(size));
  const auto letters = std::as_bytes(std::span(text));
  bytes.insert(at, letters.begin(), letters.end());
}

/// How many inputs got past the header. When few do, a search looks at little more than the first bytes.
class Tally {
 public:
  void add(bool past_header) {
    ++inputs_;
    past_ += past_header ? 1 : 0;
  }

  bool is_enough() const { return 5 * past_ >= inputs_; }

  void print() const {
    std::fprintf(stderr, "past the header: %lld of %lld inputs (%.1f %%)\n", static_cast<long long>(past_),
                 static_cast<long long>(inputs_), 100.0 * static_cast<double>(past_) / static_cast<double>(inputs_));
  }

 private:
  int64_t inputs_ = 0;
  int64_t past_ = 0;
};

}  // namespace unireplk::test
