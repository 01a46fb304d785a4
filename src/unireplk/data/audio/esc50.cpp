#include "unireplk/data/audio/esc50.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/core/whole_number.h"
#include "unireplk/data/class_names.h"
#include "unireplk/data/labelled_files.h"
#include "unireplk/io/csv_file.h"

namespace unireplk::data::audio {
namespace {

struct Clip {
  std::string file;
  int64_t fold = 0;
  int64_t target = 0;
};

/// What meta/esc50.csv lists, and the names of the targets.
struct Clips {
  std::vector<Clip> clips;
  std::map<int64_t, std::string> names;
};

Clips read_clips(const formats::CsvTable& table, bool esc10) {
  const size_t file = table.column("filename"), fold = table.column("fold"), target = table.column("target");
  const size_t category = table.column("category"), is_esc10 = table.column("esc10");
  Clips clips;
  std::vector<Problem> problems;
  for (const auto& row : table.rows) {
    if (problems.size() == kMaxProblems) break;
    if (esc10 && row.fields[is_esc10] != "True") continue;
    const auto number = whole_number(row.fields[target]), fold_number = whole_number(row.fields[fold]);
    if (!number || !fold_number || row.fields[file].empty()) {
      problems.push_back(
          {place_of(table.place, row.line), "expected a file name and whole numbers fold and target", ""});
      continue;
    }
    const auto [known, is_new] = clips.names.emplace(*number, row.fields[category]);
    if (!is_new && known->second != row.fields[category]) {
      problems.push_back(
          {place_of(table.place, row.line),
           format("target {} is \"{}\" here and \"{}\" above", *number, row.fields[category], known->second), ""});
    }
    clips.clips.push_back({row.fields[file], *fold_number, *number});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return clips;
}

}  // namespace

std::unique_ptr<Source> make_esc50(const Esc50Config& config) {
  const auto table = io::read_csv_table(config.root / "meta" / "esc50.csv");
  const auto clips = read_clips(table, config.esc10);
  std::map<int64_t, int64_t> label_of;
  std::vector<std::string> classes;
  for (const auto& [target, name] : clips.names) {
    label_of.emplace(target, std::ssize(classes));
    classes.push_back(name);
  }
  labels_of(classes, table.place);  // no name twice
  std::vector<LabelledFile> files;
  for (const auto& clip : clips.clips) {
    const bool is_held_out = clip.fold == config.fold;
    if (is_held_out != (config.part == SplitPart::kValidation)) continue;
    files.push_back({(config.audio / clip.file).string(), label_of.at(clip.target)});
  }
  if (files.empty()) {
    throw UserError({table.place, format("no clip belongs to this part with fold {} held out", config.fold), ""});
  }
  return labelled_files(config.root, std::move(classes), std::move(files));
}

}  // namespace unireplk::data::audio
