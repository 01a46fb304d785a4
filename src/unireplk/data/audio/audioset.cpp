#include "unireplk/data/audio/audioset.h"

#include <optional>
#include <utility>

#include "unireplk/config/scalar.h"
#include "unireplk/core/log.h"
#include "unireplk/data/audio/class_index.h"
#include "unireplk/data/audio/tagged_files.h"
#include "unireplk/data/class_names.h"
#include "unireplk/formats/csv.h"
#include "unireplk/io/files.h"

namespace unireplk::data::audio {
namespace {

namespace fs = std::filesystem;

constexpr size_t kColumns = 4;  // id, start, end, labels

std::string replaced(std::string text, std::string_view field, std::string_view value) {
  for (size_t at = text.find(field); at != std::string::npos; at = text.find(field, at + value.size())) {
    text.replace(at, field.size(), value);
  }
  return text;
}

std::string split_of(const fs::path& list) {
  const std::string name = list.stem().string();
  return name.substr(0, name.find("_segments"));
}

/// Reads segment lists one after the other.
class SegmentReader {
 public:
  SegmentReader(const AudioSetConfig& config, const ClassIndex& classes) : config_(config), classes_(classes) {}

  void read(const fs::path& list) {
    const std::string text = io::read_file(list);
    formats::CsvReader reader(text, list.string(), {.skip_initial_space = true});
    formats::CsvRow row;
    while (std::move(reader.next(row)).value_or_throw()) {
      const bool is_comment = row.fields.front().starts_with('#') || row.fields.front() == "YTID";
      if (!is_comment) add(row, list);
    }
    if (!problems_.empty()) throw UserError(std::move(problems_));
  }

  std::vector<TaggedFile> take() && {
    if (missing_ > 0) log_info("audioset: {} of {} sounds are not there", missing_, rows_);
    if (files_.empty()) {
      throw UserError({(config_.root / config_.files).string(), format("none of the {} sounds is there", rows_),
                       "Correct `root` or `files`."});
    }
    return std::move(files_);
  }

 private:
  void add(const formats::CsvRow& row, const fs::path& list) {
    ++rows_;
    const auto place = place_of(list, row.line);
    const auto start = row.fields.size() == kColumns ? config::read_number(row.fields[1]) : std::nullopt;
    if (!start) {
      refuse({place, "expected id, start, end and quoted labels", "Take the list as it is published."});
      return;
    }
    auto labels = classes_.labels_of(row.fields[3], place);
    if (!labels) {
      refuse(labels.problem());
      return;
    }
    std::string file = replaced(config_.files, "{ytid}", row.fields[0]);
    file = replaced(std::move(file), "{start}", format("{:.3f}", *start));
    file = replaced(std::move(file), "{split}", split_of(list));
    std::error_code error;
    if (fs::exists(config_.root / file, error)) {
      files_.push_back({std::move(file), std::move(labels).value()});
    } else {
      ++missing_;
    }
  }

  void refuse(const Problem& problem) {
    problems_.push_back(problem);
    if (problems_.size() == kMaxProblems) throw UserError(std::move(problems_));
  }

  const AudioSetConfig& config_;
  const ClassIndex& classes_;
  std::vector<TaggedFile> files_;
  std::vector<Problem> problems_;
  int64_t rows_ = 0;
  int64_t missing_ = 0;
};

}  // namespace

void AudioSetConfig::validate(config::Problems& problems) const {
  if (files.find("{ytid}") == std::string::npos) {
    problems.add("files", format("expected a path with {{ytid}}, got \"{}\"", files), "Write {ytid}_{start}.flac.");
  }
}

std::unique_ptr<Source> make_audioset(const AudioSetConfig& config) {
  auto classes = read_class_index(config.classes);
  SegmentReader reader(config, classes);
  for (const auto& list : config.segments) reader.read(list);
  auto files = std::move(reader).take();
  return tagged_files(config.root, std::move(classes.names), std::move(files));
}

}  // namespace unireplk::data::audio
