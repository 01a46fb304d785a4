#include "unireplk/tensor/sample.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "unireplk/core/error.h"

namespace unireplk {
namespace {

std::string shape_text(at::IntArrayRef shape) { return format("[{}]", fmt::join(shape, ", ")); }

std::vector<at::Tensor> values_of(const std::vector<Sample>& samples, const FieldSpec& spec) {
  std::vector<at::Tensor> values;
  values.reserve(samples.size());
  for (const auto& sample : samples) {
    const auto found = sample.fields.find(spec.name);
    UNIREPLK_CHECK(found != sample.fields.end() && found->second.defined(), "collate: {} has no field \"{}\"",
                   sample.source.text(), spec.name);
    const at::Tensor& value = found->second;
    UNIREPLK_CHECK(value.scalar_type() == spec.dtype, "collate: field \"{}\" of {} must be {}, got {}", spec.name,
                   sample.source.text(), at::toString(spec.dtype), at::toString(value.scalar_type()));
    values.push_back(value);
  }
  return values;
}

at::Tensor stack_equal(const std::vector<at::Tensor>& values, const std::vector<Sample>& samples,
                       const FieldSpec& spec) {
  for (size_t i = 1; i < values.size(); ++i) {
    UNIREPLK_CHECK(values[i].sizes() == values[0].sizes(),
                   "collate: field \"{}\" must have one shape in a batch, got {} ({}) and {} ({})", spec.name,
                   shape_text(values[0].sizes()), samples[0].source.text(), shape_text(values[i].sizes()),
                   samples[i].source.text());
  }
  return at::stack(values);
}

/// Zeros behind each sample up to the largest extent of every dimension.
at::Tensor stack_padded(const std::vector<at::Tensor>& values, const std::vector<Sample>& samples,
                        const FieldSpec& spec) {
  std::vector<int64_t> largest = values[0].sizes().vec();
  for (size_t i = 1; i < values.size(); ++i) {
    UNIREPLK_CHECK(values[i].dim() == values[0].dim(),
                   "collate: field \"{}\" must have one number of dimensions in a batch, got {} ({}) and {} ({})",
                   spec.name, shape_text(values[0].sizes()), samples[0].source.text(), shape_text(values[i].sizes()),
                   samples[i].source.text());
    for (size_t d = 0; d < largest.size(); ++d) {
      largest[d] = std::max(largest[d], values[i].size(static_cast<int64_t>(d)));
    }
  }
  largest.insert(largest.begin(), static_cast<int64_t>(values.size()));
  at::Tensor out = at::zeros(largest, values[0].options());
  for (size_t i = 0; i < values.size(); ++i) {
    at::Tensor place = out.select(0, static_cast<int64_t>(i));
    for (int64_t d = 0; d < values[i].dim(); ++d) place = place.narrow(d, 0, values[i].size(d));
    place.copy_(values[i]);
  }
  return out;
}

Field collate_field(const std::vector<Sample>& samples, const FieldSpec& spec) {
  std::vector<at::Tensor> values = values_of(samples, spec);
  switch (spec.collate) {
    case Collate::kStack:
      return stack_equal(values, samples, spec);
    case Collate::kPad:
      return stack_padded(values, samples, spec);
    case Collate::kList:
      break;
  }
  return values;
}

}  // namespace

std::string SourceRef::text() const { return position < 0 ? file : format("{}:{}", file, position); }

const at::Tensor& Batch::tensor(const std::string& name) const {
  const auto found = fields.find(name);
  UNIREPLK_CHECK(found != fields.end(), "batch has no field \"{}\"", name);
  const auto* stacked = std::get_if<at::Tensor>(&found->second);
  UNIREPLK_CHECK(stacked != nullptr, "field \"{}\" of the batch is a list, not one tensor", name);
  return *stacked;
}

Batch Batch::with_each(const std::function<at::Tensor(const at::Tensor&)>& change) const {
  Batch out{.fields = {}, .keys = keys, .sources = sources};
  for (const auto& [name, field] : fields) {
    if (const auto* stacked = std::get_if<at::Tensor>(&field)) {
      out.fields.emplace(name, change(*stacked));
      continue;
    }
    std::vector<at::Tensor> list;
    for (const auto& one : std::get<std::vector<at::Tensor>>(field)) list.push_back(change(one));
    out.fields.emplace(name, std::move(list));
  }
  return out;
}

Batch Batch::to(at::Device device) const {
  return with_each([&](const at::Tensor& t) { return t.to(t.options().device(device)); });
}

const FieldSpec* DataInfo::find(const std::string& name) const {
  const auto found = std::ranges::find(fields, name, &FieldSpec::name);
  return found == fields.end() ? nullptr : &*found;
}

Batch collate(std::vector<Sample> samples, const std::vector<FieldSpec>& specs) {
  UNIREPLK_CHECK(!samples.empty(), "collate: no samples");
  Batch batch;
  for (const auto& spec : specs) batch.fields.emplace(spec.name, collate_field(samples, spec));
  for (auto& sample : samples) {
    batch.keys.push_back(sample.key);
    batch.sources.push_back(std::move(sample.source));
  }
  return batch;
}

}  // namespace unireplk
