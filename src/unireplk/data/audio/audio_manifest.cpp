#include "unireplk/data/audio/audio_manifest.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "unireplk/data/audio/class_index.h"
#include "unireplk/data/audio/tagged_files.h"
#include "unireplk/data/class_names.h"
#include "unireplk/data/labelled_files.h"
#include "unireplk/formats/json.h"
#include "unireplk/io/files.h"

namespace unireplk::data::audio {
namespace {

const std::string* text_in(const nlohmann::json& entry, const char* key) {
  const auto found = entry.is_object() ? entry.find(key) : entry.end();
  return found == entry.end() || !found->is_string() ? nullptr : found->get_ptr<const std::string*>();
}

Result<TaggedFile> file_of(const nlohmann::json& entry, const ClassIndex& classes, const std::string& place) {
  const auto* wav = text_in(entry, "wav");
  const auto* labels = text_in(entry, "labels");
  if (!wav || !labels || wav->empty()) {
    return Problem{place, "expected the texts \"wav\" and \"labels\"", "Give the entry a path and its classes."};
  }
  auto found = classes.labels_of(*labels, place);
  if (!found) return found.problem();
  return TaggedFile{*wav, std::move(found).value()};
}

std::vector<TaggedFile> read_entries(const AudioManifestConfig& config, const ClassIndex& classes) {
  const std::string place = config.file.string();
  const auto json = formats::parse_json(io::read_file(config.file), place).value_or_throw();
  const auto data = json.is_object() ? json.find("data") : json.end();
  if (data == json.end() || !data->is_array() || data->empty()) {
    throw UserError({place, "expected an object with a list \"data\" of at least one entry", ""});
  }
  std::vector<TaggedFile> files;
  std::vector<Problem> problems;
  for (size_t i = 0; i < data->size() && problems.size() < kMaxProblems; ++i) {
    const auto where = format("{}: data[{}]", place, i);
    auto file = file_of((*data)[i], classes, where);
    if (file && config.single_label && file->labels.size() != 1) {
      file = Problem{where, format("expected one label, got {}", file->labels.size()), "Set single_label to false."};
    }
    if (file) {
      files.push_back(std::move(file).value());
    } else {
      problems.push_back(file.problem());
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return files;
}

}  // namespace

std::unique_ptr<Source> make_audio_manifest(const AudioManifestConfig& config) {
  auto classes = read_class_index(config.classes);
  auto files = read_entries(config, classes);
  if (!config.single_label) return tagged_files(config.root, std::move(classes.names), std::move(files));
  std::vector<LabelledFile> labelled;
  for (auto& file : files) labelled.push_back({std::move(file.file), file.labels.front()});
  return labelled_files(config.root, std::move(classes.names), std::move(labelled));
}

}  // namespace unireplk::data::audio
