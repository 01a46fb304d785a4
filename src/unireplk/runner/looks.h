#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/data/source.h"

/// What `unireplk init` knows of modalities: each looks at files it has never seen and drafts a config that trains on
/// them.
namespace unireplk::runner {

/// The part of a config that depends on the data, and what to tell of them.
struct Draft {
  std::string data;  ///< lines of `data:`, each indented by two: `train`, `validation` and `pipeline`
  std::string task = "{name: classification, label_smoothing: 0.1}";
  std::string head = "classifier";
  std::string init{};                                     ///< lines of `init:`, where there are weights to start from
  int64_t items = 0;                                      ///< to train with
  std::vector<std::pair<std::string, int64_t>> counts{};  ///< what was found: {"images", 64}, {"classes", 4}
  std::string found{};                                    ///< the same in words: "64 images of 4 classes to train with"
  std::string validation{};                               ///< "20% held out for validation"
};

/// What a draft has to keep to.
struct Wishes {
  std::optional<int64_t> channels = {};  ///< of the network's map, where weights fix them
};

/// One modality.
struct Look {
  std::string files;  ///< what it takes: "images in one sub-folder for each class"

  /// Whether data are of this modality; reads names, or the first lines of a file.
  bool (*knows)(const std::filesystem::path& data);

  /// \throws UserError when they are, but cannot be trained on.
  Draft (*draft)(const std::filesystem::path& data, const Wishes& wishes);
};

/// All of them: the one list. The first that knows the data drafts.
std::vector<Look> looks();

// One function for each modality; each lives in look_at_<modality>.cpp.
Look look_at_audio();
Look look_at_images();
Look look_at_time_series();

/// Whether a folder, or one below it, holds a file whose name is good; of a huge one a part is looked at.
bool holds_file(const std::filesystem::path& folder, bool (*is_good)(const std::string& name));

/// A data source of class folders, which has a key `root`.
struct ClassFolders {
  std::string name;   ///< in configs: "image_folder"
  std::string items;  ///< what it reads, in words: "images"
  std::function<std::unique_ptr<data::Source>(const std::filesystem::path& root)> open;
};

/// What such a source finds.
struct ClassDraft {
  Draft draft;                                ///< without the pipeline
  std::shared_ptr<const data::Source> items;  ///< all of the folder for training, what will be held out included
};

/// Of the folders for training and validation inside one, by their usual names. Without one for training the folder
/// itself is it, and what to validate with is held out; so it is without one for validation.
/// \throws UserError when both sets differ in their classes, or a class has too few items to hold any out.
ClassDraft draft_classes(const std::filesystem::path& folder, const ClassFolders& source);

/// Look at some items, evenly chosen; what is wrong with those that cannot be decoded is told.
/// \param what  they should be: "photos".
/// \param look  decodes an item of that file and takes what it needs of it, or says what is wrong.
/// \throws UserError when none can be decoded.
void look_at_some(const data::Source& items, const std::string& what,
                  const std::function<std::optional<Problem>(data::Record record, const std::string& file)>& look);

/// A text as YAML has it on one line.
std::string quoted(const std::string& text);

}  // namespace unireplk::runner
