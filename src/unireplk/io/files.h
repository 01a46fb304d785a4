#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace unireplk::io {

/// The whole content of a file. \throws UserError when it cannot be read or is larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 34);

/// Write a file so that a reader, or the next start after a crash, sees the old content or the new, never a part:
/// temporary name in the same folder, fsync, rename, fsync of the folder.
/// \throws UserError naming path, reason (full disk, read-only folder, ...) and cure.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Rename a finished folder into place and make that durable. `to` must not exist.
void publish_folder(const std::filesystem::path& from, const std::filesystem::path& to);

/// Append text and flush it to the operating system.
void append_to_file(const std::filesystem::path& path, std::string_view text);

}  // namespace unireplk::io
