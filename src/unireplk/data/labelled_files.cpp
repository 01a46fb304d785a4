#include "unireplk/data/labelled_files.h"

#include <utility>

#include "unireplk/data/read_bytes.h"

namespace unireplk::data {
namespace {

class LabelledFiles : public Source {
 public:
  LabelledFiles(std::filesystem::path root, std::vector<std::string> classes, std::vector<LabelledFile> files)
      : root_(std::move(root)), classes_(std::move(classes)), files_(std::move(files)) {}

  int64_t size() const override { return static_cast<int64_t>(files_.size()); }

  SourceRef where(int64_t index) const override { return {.file = (root_ / item(index).file).string()}; }

  std::optional<int64_t> label(int64_t index) const override { return item(index).label; }

  Result<Record> read(int64_t index) const override {
    SourceRef source = where(index);
    auto bytes = read_bytes(source.file);
    if (!bytes) return bytes.problem();
    return labelled_record(std::move(bytes).value(), item(index).label, index, std::move(source));
  }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> files;
    for (const auto& [file, label] : files_) files.push_back(root_ / file);
    return files;
  }

  DataInfo info() const override { return {.fields = {label_field()}, .classes = classes_, .constants = {}}; }

 private:
  const LabelledFile& item(int64_t index) const {
    UNIREPLK_CHECK(index >= 0 && index < size(), "labelled_files: item {} of {}", index, size());
    return files_[static_cast<size_t>(index)];
  }

  std::filesystem::path root_;
  std::vector<std::string> classes_;
  std::vector<LabelledFile> files_;
};

}  // namespace

std::unique_ptr<Source> labelled_files(std::filesystem::path root, std::vector<std::string> classes,
                                       std::vector<LabelledFile> files) {
  return std::make_unique<LabelledFiles>(std::move(root), std::move(classes), std::move(files));
}

}  // namespace unireplk::data
