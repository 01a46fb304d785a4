#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace unireplk::data::audio {

/// Bytes that the data chunk of a WAV file promises beyond the end of the file, which decoders take for a shorter
/// sound; 0 for other files, and where a program that could not go back left the length open (all bits set, or zero).
int64_t missing_wav_bytes(std::span<const std::byte> file);

}  // namespace unireplk::data::audio
