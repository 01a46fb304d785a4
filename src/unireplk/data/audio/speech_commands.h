#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"
#include "unireplk/data/split_part.h"

namespace unireplk::data::audio {

/// `name: speech_commands`: the 35 words of Speech Commands V2.
struct SpeechCommandsConfig {
  std::filesystem::path root;
  SplitPart part = SplitPart::kTrain;

  static void fields(auto& self, auto&& visit) {
    visit("root", self.root, config::required, "Folder that holds the folders of the 35 words.");
    visit("part", self.part, config::required, "train, validation or test.");
  }
};

/// Where a file belongs when no list says it: by the speaker that its name begins with, in percent, < 10 validation,
/// < 20 test. Source: spec/audio.md section 2.3.
double percent_of_speaker(std::string_view file_name);

/// The published split: by validation_list.txt and testing_list.txt, or by percent_of_speaker() where neither is there.
/// Classes in the published order, which is not alphabetical; in each, files sorted by name.
///
/// \throws UserError when a word has no folder or no sound, when one list is there and the other is not, and naming the
///         lines of a list that name no file.
std::unique_ptr<Source> make_speech_commands(const SpeechCommandsConfig& config);

}  // namespace unireplk::data::audio
