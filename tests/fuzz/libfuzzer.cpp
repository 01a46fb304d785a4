// The door libFuzzer comes through.
#include "fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  unireplk::test::try_bytes(std::as_bytes(std::span(data, size)));
  return 0;
}
