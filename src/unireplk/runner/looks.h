#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

/// Share of the items that a draft holds out where nothing else is there to validate with.
inline constexpr double kHoldOut = 0.2;

/// Whether a folder, or one below it, holds a file whose name is good; of a huge one a part is looked at.
bool holds_file(const std::filesystem::path& folder, bool (*is_good)(const std::string& name));

/// Folders for training and validation inside one, by their usual names. Without one for training the folder itself is
/// it; without one for validation that is empty.
struct SplitFolders {
  std::filesystem::path train;
  std::filesystem::path validation;
};
SplitFolders split_folders(const std::filesystem::path& folder);

/// The classes of such folders as a source finds them.
struct ClassSets {
  std::shared_ptr<const data::Source> train;  ///< all of that folder, what will be held out included
  int64_t items = 0;                          ///< to train with
  int64_t classes = 0;
  std::string validation;  ///< where it comes from, in words
};

/// \throws UserError when both sets differ in their classes, or a class has too few items to hold any out.
ClassSets class_sets(const SplitFolders& folders,
                     const std::function<std::unique_ptr<data::Source>(const std::filesystem::path& root)>& open);

/// A text as YAML has it on one line.
std::string quoted(const std::string& text);

/// `train` and `validation` lines of class folders, a share of them held out where there are none for validation.
/// \param source  the name of the data source, which has a key `root`.
std::string set_lines(const std::string& source, const SplitFolders& folders);

}  // namespace unireplk::runner
