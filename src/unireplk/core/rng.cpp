#include "unireplk/core/rng.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "unireplk/core/error.h"

namespace unireplk {
namespace {

constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9;
constexpr uint32_t kWeyl1 = 0xBB67AE85;

uint32_t high_word(uint64_t product) { return static_cast<uint32_t>(product >> 32); }
uint32_t low_word(uint64_t product) { return static_cast<uint32_t>(product); }

uint64_t bits64(RandomStream& stream) {
  const uint64_t high = stream.bits();
  return high << 32 | stream.bits();
}

uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// Logarithm of a Gamma(shape) value: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. In
/// logarithms, as small shapes give values that no double holds.
double log_gamma_value(double shape, RandomStream& random) {
  const double d = shape + 1 - 1.0 / 3.0, c = 1 / std::sqrt(9 * d);  // of shape + 1, whose value is scaled down below
  while (true) {
    const double x = random.normal();
    const double v = std::pow(1 + c * x, 3);
    const double u = 1 - random.uniform();  // (0, 1]
    if (v > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) {
      const double scale = std::log(1 - random.uniform()) / shape;
      return std::max(std::log(d * v) + scale, std::numeric_limits<double>::lowest());  // a difference stays a number
    }
  }
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * counter[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * counter[2];
    counter = {high_word(product1) ^ counter[1] ^ key[0], low_word(product1), high_word(product0) ^ counter[3] ^ key[1],
               low_word(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

uint32_t RandomStream::bits() {
  if (used_ == 4) {
    block_ = philox4x32({next_block_++, where_[0], where_[1], where_[2]}, key_);
    used_ = 0;
  }
  return block_[static_cast<size_t>(used_++)];
}

double RandomStream::uniform() {
  const uint64_t high = bits() >> 5;  // 27 bits
  const uint64_t low = bits() >> 6;   // 26 bits
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

double RandomStream::uniform(double low, double high) {
  const double value = low + (high - low) * uniform();
  return value < high ? value : std::nextafter(high, low);  // the sum may round up to `high`
}

int64_t RandomStream::integer(int64_t low, int64_t high) {
  UNIREPLK_CHECK(low <= high, "integer: empty range [{}, {}]", low, high);
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;  // 0 stands for 2^64
  uint64_t value = bits64(*this);
  if (range != 0) {
    const uint64_t surplus = (0 - range) % range;  // 2^64 mod range: values below it would favour small results
    while (value < surplus) value = bits64(*this);
    value %= range;
  }
  return static_cast<int64_t>(static_cast<uint64_t>(low) + value);
}

double RandomStream::normal(double mean, double std) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // 1 - u lies in (0, 1]
  return mean + std * radius * std::cos(2.0 * std::numbers::pi * uniform());
}

double RandomStream::beta(double alpha) {
  const double first = log_gamma_value(alpha, *this);
  return 1 / (1 + std::exp(log_gamma_value(alpha, *this) - first));
}

bool RandomStream::bernoulli(double probability) { return uniform() < probability; }

RandomStream Draw::stream(uint32_t number) const {
  const auto epoch_bits = static_cast<uint64_t>(epoch), view_bits = static_cast<uint64_t>(view);
  // The first view draws what an item without views does.
  const uint64_t key = view == 0 ? mix_seed({seed, epoch_bits}) : mix_seed({seed, epoch_bits, view_bits});
  const auto item_bits = static_cast<uint64_t>(item);
  return RandomStream({low_word(key), high_word(key)}, {number, low_word(item_bits), high_word(item_bits)});
}

uint64_t mix_seed(std::initializer_list<uint64_t> parts) {
  uint64_t mixed = 0;
  for (const uint64_t part : parts) mixed = splitmix64(mixed ^ part);
  return mixed;
}

}  // namespace unireplk
