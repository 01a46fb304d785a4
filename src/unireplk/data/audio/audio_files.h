#pragma once

#include "unireplk/data/class_folders.h"

namespace unireplk::data::audio {

/// The files that are taken for sounds.
FileKind audio_files();

}  // namespace unireplk::data::audio
