#include "unireplk/data/audio/speech_commands.h"

#include <array>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/data/class_folders.h"
#include "unireplk/data/class_names.h"
#include "unireplk/data/labelled_files.h"
#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/sha1.h"
#include "unireplk/io/files.h"

namespace unireplk::data::audio {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 35> kWords{
    "backward", "follow", "five", "bed",    "zero",    "on",  "learn",  "two",    "house", "tree", "dog", "stop",
    "seven",    "eight",  "down", "six",    "forward", "cat", "right",  "visual", "four",  "wow",  "no",  "nine",
    "off",      "three",  "left", "marvin", "yes",     "up",  "sheila", "happy",  "bird",  "go",   "one"};
constexpr std::array<std::string_view, 1> kSuffixes{".wav"};
constexpr FileKind kKind{.one = "sound", .many = "sounds", .suffixes = kSuffixes};
constexpr double kValidationPercent = 10, kTestPercent = 10;

/// The paths "word/file" of every word.
std::vector<LabelledFile> files_of_words(const fs::path& root) {
  std::vector<LabelledFile> files;
  std::vector<Problem> problems;
  for (size_t label = 0; label < kWords.size(); ++label) {
    const fs::path folder = root / kWords[label];
    std::error_code error;
    auto found = fs::is_directory(folder, error) ? files_below(root, kWords[label], kKind) : std::vector<std::string>{};
    if (found.empty() && problems.size() < kMaxProblems) {
      problems.push_back({folder.string(), "expected the folder of a word with its sounds (.wav), got none",
                          "Unpack speech_commands_v0.02 there, or correct `root`."});
    }
    for (auto& file : found) files.push_back({std::move(file), static_cast<int64_t>(label)});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return files;
}

/// The files that a list names. \throws UserError for lines that name none of them.
std::set<std::string> read_list(const fs::path& list, const std::set<std::string>& known) {
  std::set<std::string> names;
  std::vector<Problem> problems;
  int line = 0;
  for (auto& name : io::read_lines(list)) {
    ++line;
    if (!known.contains(name) && problems.size() < kMaxProblems) {
      problems.push_back({place_of(list, line), format("there is no file \"{}\"", name), "Unpack the data set anew."});
    }
    names.insert(std::move(name));
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return names;
}

/// Which part each file belongs to.
class Rule {
 public:
  Rule(const fs::path& root, const std::vector<LabelledFile>& files) {
    const fs::path validation = root / "validation_list.txt", test = root / "testing_list.txt";
    const bool has_validation = fs::exists(validation), has_test = fs::exists(test);
    if (has_validation != has_test) {
      throw UserError({(has_validation ? test : validation).string(),
                       "expected both lists of files, this one is missing",
                       "Add it, or remove the other: then the split follows from the names of the files."});
    }
    has_lists_ = has_test;
    if (!has_lists_) return;
    std::set<std::string> known;
    for (const auto& file : files) known.insert(file.file);
    validation_ = read_list(validation, known);
    test_ = read_list(test, known);
  }

  SplitPart part_of(const std::string& file) const {
    if (has_lists_) {
      return validation_.contains(file) ? SplitPart::kValidation
             : test_.contains(file)     ? SplitPart::kTest
                                        : SplitPart::kTrain;
    }
    const double percent = percent_of_speaker(fs::path(file).filename().string());
    if (percent < kValidationPercent) return SplitPart::kValidation;
    return percent < kValidationPercent + kTestPercent ? SplitPart::kTest : SplitPart::kTrain;
  }

 private:
  bool has_lists_ = false;
  std::set<std::string> validation_;
  std::set<std::string> test_;
};

}  // namespace

double percent_of_speaker(std::string_view file_name) {
  constexpr uint32_t kMost = (uint32_t{1} << 27) - 1;
  const std::string_view speaker = file_name.substr(0, file_name.find("_nohash_"));
  const auto digest = formats::sha1_of(std::as_bytes(std::span(speaker)));
  const uint32_t last = formats::big_endian(std::span(digest).last(4));
  return static_cast<double>(last & kMost) * 100.0 / static_cast<double>(kMost);
}

std::unique_ptr<Source> make_speech_commands(const SpeechCommandsConfig& config) {
  auto files = files_of_words(config.root);
  const Rule rule(config.root, files);
  std::erase_if(files, [&](const LabelledFile& file) { return rule.part_of(file.file) != config.part; });
  if (files.empty()) throw UserError({config.root.string(), "no file belongs to this part", "Take another `part`."});
  return labelled_files(config.root, {kWords.begin(), kWords.end()}, std::move(files));
}

}  // namespace unireplk::data::audio
