#include "unireplk/data/audio/audio_folder.h"

#include <array>

#include "unireplk/data/audio/audio_files.h"

namespace unireplk::data::audio {
namespace {

constexpr std::array<std::string_view, 8> kSuffixes{".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"};

}  // namespace

FileKind audio_files() { return {.one = "sound", .many = "sounds", .suffixes = kSuffixes}; }

std::unique_ptr<Source> make_audio_folder(const AudioFolderConfig& config) {
  return class_folders(config.root, config.class_map, audio_files());
}

}  // namespace unireplk::data::audio
