#pragma once

#include <ATen/ops/scalar_tensor.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "unireplk/core/result.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::data {

/// A file's bytes, still encoded (JPEG, PNG, FLAC, ...).
struct EncodedBytes {
  std::vector<std::byte> bytes;
};

/// One item as it lies on disk, with its target.
struct Record {
  std::variant<EncodedBytes, at::Tensor, std::filesystem::path> payload;
  TensorMap target;  ///< `label`: int64 scalar for classification
  SampleKey key;
  SourceRef source;
  std::shared_ptr<const Record> partner = {};  ///< another item, where the pipeline asked for one
};

/// The target of classification.
inline FieldSpec label_field() {
  return {.name = "label", .dtype = at::kLong, .shape = {}, .meaning = "index of the class"};
}

/// The file of item `index`, of this class.
inline Record labelled_record(EncodedBytes file, int64_t label, int64_t index, SourceRef source) {
  return {.payload = std::move(file),
          .target = {{"label", at::scalar_tensor(label, at::kLong)}},
          .key = {.item = index},
          .source = std::move(source)};
}

/// What lies on disk: a folder, a list, an archive. Subset and repeat wrap another source.
class Source {
 public:
  virtual ~Source() = default;

  virtual int64_t size() const = 0;

  /// Read item `index` in [0, size()). Thread-safe.
  virtual Result<Record> read(int64_t index) const = 0;

  /// Where item `index` lies, without reading it.
  virtual SourceRef where(int64_t index) const { return {.file = "item", .position = index}; }

  /// Class of item `index`, known without reading it; nothing where items have none.
  virtual std::optional<int64_t> label(int64_t) const { return std::nullopt; }

  /// All classes of item `index`, known without reading it; several where a sample has several labels.
  virtual std::vector<int64_t> labels(int64_t index) const {
    const auto only = label(index);
    return only ? std::vector{*only} : std::vector<int64_t>{};
  }

  /// The files that the items are read from; none when they come from elsewhere.
  virtual std::vector<std::filesystem::path> files() const { return {}; }

  /// Classes and constants, and a FieldSpec for every target; the pipeline adds the inputs.
  virtual DataInfo info() const = 0;
};

}  // namespace unireplk::data
