#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/tasks/task.h"

namespace unireplk::tasks {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i] < 0 ? "any" : format("{}", shape[i]);
  }
  return text + "]";
}

std::string kind_text(const FieldSpec& spec) {
  return format("{} {}", c10::toString(spec.dtype), shape_text(spec.shape));
}

/// A free dimension (-1) of either side fits everything.
bool shapes_fit(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](int64_t x, int64_t y) { return x < 0 || y < 0 || x == y; });
}

std::string names_of(const std::vector<FieldSpec>& fields) {
  std::string text;
  for (const auto& field : fields) text += (text.empty() ? "" : ", ") + field.name;
  return text.empty() ? "none" : text;
}

}  // namespace

void check_fields(const std::vector<FieldSpec>& needs, const DataInfo& info) {
  std::vector<Problem> problems;
  for (const auto& need : needs) {
    const std::string place = "data field \"" + need.name + '"';
    const FieldSpec* offer = info.find(need.name);
    if (!offer) {
      problems.push_back({place,
                          format("the task needs it ({}), the data has: {}", need.meaning, names_of(info.fields)),
                          "Choose a data source or a pipeline that makes it."});
    } else if (offer->dtype != need.dtype || !shapes_fit(offer->shape, need.shape)) {
      problems.push_back({place, format("expected {}, got {}", kind_text(need), kind_text(*offer)),
                          "Choose a pipeline that fits the task."});
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
}

}  // namespace unireplk::tasks
