#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/data/registries.h"

/// Pack files: the photos of a source, made smaller once, in one file that is quick to read.
namespace unireplk::data::image {

/// `name: pack`: a file that `unireplk pack` wrote.
struct PackConfig {
  std::filesystem::path file;
  config::Choice<SourceSignature> origin = {};

  static void fields(auto& self, auto&& visit) {
    visit("file", self.file, config::required, "File that `unireplk pack` wrote.");
    visit("origin", self.origin,
          "The source it was made from; given, the file is refused when that has changed since. Left out, it is not "
          "looked at.");
  }
};

/// The items of the source that the file was made from, in their order and with their classes. Payload: EncodedBytes,
/// or uint8 [H, W, 3] where pixels were stored. Each item is held to its checksum when it is read.
///
/// \throws UserError when the file cannot be read or is no pack of photos, or `origin` has changed since.
std::unique_ptr<Source> make_pack(const PackConfig& config);

struct PackOptions {
  int64_t shorter_side = 256;
  int64_t quality = 95;  ///< of JPEG, 1 to 100; 0: pixels as they are
  int64_t workers = 1;   ///< threads
};

/// What became of the photos.
struct PackCounts {
  int64_t items = 0;
  int64_t resized = 0;
  int64_t undecoded = 0;  ///< kept as they are; the log tells why of the first
  int64_t bytes = 0;      ///< of the file
};

/// Write the photos of a source into a pack file, which appears whole or not at all. A photo whose shorter side is
/// longer than `shorter_side` is resized with the bicubic filter of `resize` and stored as a JPEG file. One that is not
/// keeps its bytes, and so does one that cannot be decoded: what trains on it meets the same problem. With quality 0
/// all that can be decoded are stored as RGB pixels. The number of workers changes no byte.
///
/// \throws UserError when an item cannot be read or is an array, when no item can be decoded, when the file cannot be
///         written, and when a signal asks to stop.
PackCounts write_pack(const config::Choice<SourceSignature>& origin, const PackOptions& options,
                      const std::filesystem::path& file);

}  // namespace unireplk::data::image
