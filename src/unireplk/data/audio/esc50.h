#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"
#include "unireplk/data/split_part.h"

namespace unireplk::data::audio {

/// `name: esc50`: ESC-50, or the ten classes of ESC-10, with one of the five folds held out.
struct Esc50Config {
  std::filesystem::path root;
  std::filesystem::path audio = "audio";
  int64_t fold = 1;
  SplitPart part = SplitPart::kTrain;
  bool esc10 = false;

  void validate(config::Problems& problems) const {
    if (part == SplitPart::kTest) problems.add("part", "the folds know train and validation, got test");
  }

  static void fields(auto& self, auto&& visit) {
    visit("root", self.root, config::required, "Folder that holds meta/esc50.csv and the folder of sounds.");
    visit("audio", self.audio, config::non_empty, "Folder of the sounds, below root.");
    visit("fold", self.fold, config::between(1, 5), "Fold that is held out.");
    visit("part", self.part, config::required, "train: the other folds; validation: this one.");
    visit("esc10", self.esc10, "Only the classes of ESC-10.");
  }
};

/// In the order of meta/esc50.csv; labels count the targets there are, so that those of all fifty are the published
/// ones. \throws UserError when the table cannot be read, for rows whose target or fold is no number or whose target
/// has two names, and when the part is empty.
std::unique_ptr<Source> make_esc50(const Esc50Config& config);

}  // namespace unireplk::data::audio
