#pragma once

#include <c10/core/Device.h>

#include <exception>
#include <string>

#include "unireplk/core/error.h"

namespace unireplk {

/// Memory was not enough, told in words for people.
class MemoryError : public UserError {
 public:
  using UserError::UserError;
};

/// Whether an error says that memory of the machine or of a GPU was not enough: std::bad_alloc and what LibTorch's
/// allocators and NVIDIA's libraries throw.
bool is_out_of_memory(const std::exception& error);

/// The first line of an error's message, without LibTorch's backtrace and the full stop.
std::string short_message(const std::exception& error);

/// Give a GPU's memory that LibTorch keeps for later back, so that blocks of other sizes fit; nothing on the CPU.
void release_cached_memory(c10::Device device);

}  // namespace unireplk
