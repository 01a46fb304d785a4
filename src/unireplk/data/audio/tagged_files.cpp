#include "unireplk/data/audio/tagged_files.h"

#include <ATen/ops/zeros.h>

#include <utility>

#include "unireplk/data/read_bytes.h"

namespace unireplk::data::audio {
namespace {

class TaggedFiles : public Source {
 public:
  TaggedFiles(std::filesystem::path root, std::vector<std::string> classes, std::vector<TaggedFile> files)
      : root_(std::move(root)), classes_(std::move(classes)), files_(std::move(files)) {}

  int64_t size() const override { return std::ssize(files_); }

  SourceRef where(int64_t index) const override { return {.file = (root_ / item(index).file).string()}; }

  std::vector<int64_t> labels(int64_t index) const override { return item(index).labels; }

  Result<Record> read(int64_t index) const override {
    SourceRef source = where(index);
    auto bytes = read_bytes(source.file);
    if (!bytes) return bytes.problem();
    return Record{.payload = std::move(bytes).value(),
                  .target = {{"target", target_of(item(index).labels)}},
                  .key = {.item = index},
                  .source = std::move(source)};
  }

  std::vector<std::filesystem::path> files() const override {
    std::vector<std::filesystem::path> files;
    for (const auto& tagged : files_) files.push_back(root_ / tagged.file);
    return files;
  }

  DataInfo info() const override {
    return {.fields = {{.name = "target",
                        .dtype = at::kFloat,
                        .shape = {std::ssize(classes_)},
                        .meaning = "1 for each class of the sample"}},
            .classes = classes_,
            .constants = {}};
  }

 private:
  const TaggedFile& item(int64_t index) const {
    UNIREPLK_CHECK(index >= 0 && index < size(), "tagged_files: item {} of {}", index, size());
    return files_[static_cast<size_t>(index)];
  }

  at::Tensor target_of(const std::vector<int64_t>& labels) const {
    const at::Tensor target = at::zeros({std::ssize(classes_)});
    for (const int64_t label : labels) target.mutable_data_ptr<float>()[label] = 1;
    return target;
  }

  std::filesystem::path root_;
  std::vector<std::string> classes_;
  std::vector<TaggedFile> files_;
};

}  // namespace

std::unique_ptr<Source> tagged_files(std::filesystem::path root, std::vector<std::string> classes,
                                     std::vector<TaggedFile> files) {
  return std::make_unique<TaggedFiles>(std::move(root), std::move(classes), std::move(files));
}

}  // namespace unireplk::data::audio
