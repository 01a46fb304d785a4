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

std::string list_of(const std::vector<FieldSpec>& fields) {
  std::string text;
  for (const auto& field : fields) text += (text.empty() ? "" : ", ") + field.name + " " + kind_text(field);
  return text.empty() ? "no fields" : text;
}

/// What the task wants, with what it means.
std::string wish_text(const FieldSpec& need) {
  return kind_text(need) + (need.meaning.empty() ? "" : " (" + need.meaning + ")");
}

constexpr const char* kCure = "Choose a data source and a data.pipeline that make it, or another task.";

}  // namespace

void check_fields(const std::vector<FieldSpec>& needs, const DataInfo& info) {
  std::vector<Problem> problems;
  for (const auto& need : needs) {
    const std::string place = "data field \"" + need.name + '"';
    const FieldSpec* offer = info.find(need.name);
    if (!offer) {
      problems.push_back(
          {place, format("the task expects {}, got nothing; the data have {}", wish_text(need), list_of(info.fields)),
           kCure});
    } else if (offer->dtype != need.dtype || !shapes_fit(offer->shape, need.shape)) {
      problems.push_back({place, format("the task expects {}, got {}", wish_text(need), wish_text(*offer)), kCure});
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
}

}  // namespace unireplk::tasks
