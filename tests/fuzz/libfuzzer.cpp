// The door libFuzzer comes through.
#include "fuzz/target.h"

using namespace unireplk::test;

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

/// Tells at the end of the program, which is libFuzzer's to choose.
struct PrintedTally : Tally {
  ~PrintedTally() { print(); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static PrintedTally tally;
  tally.add(kTarget.try_bytes(std::as_bytes(std::span(data, size))));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  const auto input = std::as_bytes(std::span(data, size));
  Bytes bytes(input.begin(), input.end());
  std::mt19937 random(seed);
  const auto mutate = [&](Bytes& part) {
    const size_t part_size = part.size();
    part.resize(std::max(max_size, part_size));
    part.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(part.data()), part_size, part.size()));
  };
  change_somewhere(bytes, mutate, random);
  bytes.resize(std::min(bytes.size(), max_size));
  std::ranges::copy(bytes, reinterpret_cast<std::byte*>(data));
  return bytes.size();
}
