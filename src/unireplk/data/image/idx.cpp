#include "unireplk/data/image/idx.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/data/class_names.h"
#include "unireplk/formats/idx.h"
#include "unireplk/io/dtype.h"
#include "unireplk/io/files.h"

namespace unireplk::data::image {
namespace {

namespace fs = std::filesystem;

at::Tensor read_idx(const fs::path& path) {
  const std::string content = io::read_file(path);
  const auto parsed = formats::parse_idx(std::as_bytes(std::span(content)), path.string()).value_or_throw();
  at::Tensor tensor = at::empty(parsed.shape, io::scalar_type_of(parsed.dtype));
  if (!parsed.bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), parsed.bytes.data(), parsed.bytes.size());
  return tensor;
}

std::string shape_text(const at::Tensor& tensor) {
  return format("{} [{}]", at::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ", "));
}

at::Tensor read_images(const fs::path& path) {
  at::Tensor images = read_idx(path);
  const bool is_grey = images.dim() == 3;
  const bool has_channels = images.dim() == 4 && (images.size(3) == 1 || images.size(3) == 3);
  if (images.scalar_type() != at::kByte || !(is_grey || has_channels) || images.numel() == 0) {
    throw UserError(
        {path.string(),
         format("expected images, Byte [count, rows, columns] with 1 or 3 channels behind, got {}", shape_text(images)),
         "Check that `images` and `labels` are not exchanged."});
  }
  return images;
}

at::Tensor read_labels(const fs::path& path, int64_t count) {
  const at::Tensor labels = read_idx(path);
  if (labels.dim() != 1 || !at::isIntegralType(labels.scalar_type(), /*includeBool=*/false)) {
    throw UserError({path.string(), format("expected labels, integers [count], got {}", shape_text(labels)),
                     "Check that `images` and `labels` are not exchanged."});
  }
  if (labels.size(0) != count) {
    throw UserError({path.string(), format("expected {} labels, one for each image, got {}", count, labels.size(0)),
                     "Take both files from one data set and split."});
  }
  return labels.to(at::kLong);
}

class Idx : public Source {
 public:
  explicit Idx(const IdxConfig& config)
      : file_(config.images.string()),
        labels_file_(config.labels),
        images_(read_images(config.images)),
        labels_(read_labels(config.labels, images_.size(0))) {
    const std::span labels(labels_.const_data_ptr<int64_t>(), static_cast<size_t>(labels_.numel()));
    classes_ = classes_of(labels, config.labels, config.classes);
  }

  int64_t size() const override { return images_.size(0); }

  SourceRef where(int64_t index) const override { return {.file = file_, .position = index}; }

  Result<Record> read(int64_t index) const override {
    UNIREPLK_CHECK(index >= 0 && index < size(), "idx: item {} of {}", index, size());
    return Record{.payload = images_.select(0, index),
                  .target = {{"label", labels_.select(0, index)}},
                  .key = {.item = index},
                  .source = where(index)};
  }

  std::optional<int64_t> label(int64_t index) const override { return labels_.const_data_ptr<int64_t>()[index]; }

  std::vector<std::filesystem::path> files() const override { return {file_, labels_file_}; }

  DataInfo info() const override {
    const int64_t channels = images_.dim() == 4 ? images_.size(3) : 1;
    return {.fields = {label_field()},
            .classes = classes_,
            .constants = {{"channels", at::scalar_tensor(channels, at::kLong)}}};
  }

 private:
  std::string file_;
  std::filesystem::path labels_file_;
  at::Tensor images_;  // [N, H, W] or [N, H, W, C] uint8
  at::Tensor labels_;  // [N] int64
  std::vector<std::string> classes_;
};

}  // namespace

std::unique_ptr<Source> make_idx(const IdxConfig& config) { return std::make_unique<Idx>(config); }

}  // namespace unireplk::data::image
