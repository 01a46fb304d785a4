#pragma once

#include <string>

#include "support/catch.h"
#include "unireplk/kernels/instruction_set.h"

namespace unireplk::kernels {

/// Use an instruction set for as long as this lives, and prove that it is the one in use.
class Forced {
 public:
  explicit Forced(const std::string& name) {
    force_instruction_set(name);
    REQUIRE(instruction_set() == name);
  }
  ~Forced() { force_instruction_set(""); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;
};

}  // namespace unireplk::kernels
