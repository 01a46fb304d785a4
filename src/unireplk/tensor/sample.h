#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace unireplk {

using TensorMap = std::map<std::string, at::Tensor>;

/// Identity of a sample. Views of one item meet again under it; padding is never counted in a metric.
struct SampleKey {
  int64_t item = 0;
  int32_t view = 0;
  bool padding = false;
};

/// Where a sample came from, for messages: "photos/cat/7.jpg", or "train.csv" with a line, or "t10k.idx" with
/// an index.
struct SourceRef {
  std::string file;
  int64_t position = -1;  ///< line or index in the file; -1: the file as a whole

  std::string text() const;
};

/// One example, decoded and augmented.
struct Sample {
  TensorMap fields;
  SampleKey key;
  SourceRef source;
};

/// One field of a batch: [B, ...], or one tensor a sample when shapes differ.
using Field = std::variant<at::Tensor, std::vector<at::Tensor>>;

struct Batch {
  std::map<std::string, Field> fields;
  std::vector<SampleKey> keys;
  std::vector<SourceRef> sources;

  int64_t size() const { return static_cast<int64_t>(keys.size()); }

  /// The stacked tensor of a field. \throws ContractError if it is absent or a list.
  const at::Tensor& tensor(const std::string& name) const;

  bool has(const std::string& name) const { return fields.contains(name); }

  /// The same batch with what `change` makes of each tensor.
  Batch with_each(const std::function<at::Tensor(const at::Tensor&)>& change) const;

  /// The same batch with every tensor on `device`.
  Batch to(at::Device device) const;
};

/// How the samples of one field become a batch.
enum class Collate { kStack, kPad, kList };

/// How people look at a map: rows and columns as they are, or time to the right and frequency upwards, of a map that
/// has frequencies as rows or as columns.
enum class View { kRowsColumns, kFrequencyTime, kTimeFrequency };

/// What a field holds: the contract between data and tasks, checked before the first step.
struct FieldSpec {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;  ///< of one sample; -1: free
  Collate collate = Collate::kStack;
  std::string meaning;  ///< "RGB image, rows x columns x channels, 0..255"
  View view = View::kRowsColumns;
};

/// What a data set says about itself.
struct DataInfo {
  std::vector<FieldSpec> fields;
  std::vector<std::string> classes;      ///< name of every label, by index; empty when labels are not classes
  TensorMap constants;                   ///< mean, std, scaler, places, ...
  std::vector<std::string> series = {};  ///< name of every channel of rows over time, by index; empty elsewhere

  const FieldSpec* find(const std::string& name) const;  ///< null when absent
};

/// Stack samples to a batch as their specs say. \throws ContractError when a sample lacks a field or a shape
/// differs.
Batch collate(std::vector<Sample> samples, const std::vector<FieldSpec>& specs);

}  // namespace unireplk
