#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

namespace unireplk {

/// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): four random words of
/// a 128-bit counter under a 64-bit key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A sequence of random values: a pure function of its key and counter, so it has no state worth saving.
class RandomStream {
 public:
  RandomStream(std::array<uint32_t, 2> key, std::array<uint32_t, 3> where) : key_(key), where_(where) {}

  uint32_t bits();                                     ///< uniform 32 bits
  double uniform();                                    ///< [0, 1), 53 bits
  double uniform(double low, double high);             ///< [low, high)
  int64_t integer(int64_t low, int64_t high);          ///< uniform in [low, high], both included; unbiased
  double normal(double mean = 0.0, double std = 1.0);  ///< Box-Muller, one value a call
  double beta(double alpha);                           ///< Beta(alpha, alpha)
  bool bernoulli(double probability);

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 3> where_;
  std::array<uint32_t, 4> block_{};
  uint32_t next_block_ = 0;
  int used_ = 4;
};

/// All randomness of one sample: a function of (seed, epoch, item, view). Each consumer takes a stream of its own
/// number, so that adding one changes no other.
struct Draw {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t item = 0;
  int32_t view = 0;  ///< which copy of the item in this epoch

  RandomStream stream(uint32_t number) const;
};

/// A seed mixed from several numbers (seed, rank, step, ...): SplitMix64 over them in turn.
uint64_t mix_seed(std::initializer_list<uint64_t> parts);

}  // namespace unireplk
