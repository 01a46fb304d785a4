#include "unireplk/data/dataset.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace unireplk::data {

Result<std::vector<Sample>> Dataset::samples(int64_t index, const Draw& draw) const {
  auto record = source->read(index);
  if (!record) return record.problem();
  record->key = {.item = index, .view = draw.view};
  if (const auto partner = pipeline->partner(draw, size())) {
    auto other = source->read(*partner);
    if (!other) return other.problem();
    record->partner = std::make_shared<const Record>(std::move(other).value());
  }
  return pipeline->apply(*record, draw);
}

Dataset make_dataset(std::shared_ptr<const Source> source, std::shared_ptr<const Pipeline> pipeline) {
  UNIREPLK_CHECK(source && pipeline, "a data set needs a source and a pipeline");
  DataInfo info = pipeline->describe(source->info());
  return {std::move(source), std::move(pipeline), std::move(info)};
}

Batch make_batch(std::vector<Sample> samples, const DataInfo& info) {
  UNIREPLK_CHECK(!samples.empty(), "a batch needs a sample");
  std::vector<FieldSpec> present;
  std::copy_if(info.fields.begin(), info.fields.end(), std::back_inserter(present),
               [&](const FieldSpec& spec) { return samples.front().fields.contains(spec.name); });
  return collate(std::move(samples), present);
}

}  // namespace unireplk::data
