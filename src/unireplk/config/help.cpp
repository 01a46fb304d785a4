#include <algorithm>

#include "unireplk/config/defaults.h"
#include "unireplk/config/describe.h"
#include "unireplk/config/schema.h"
#include "unireplk/config/snapshot.h"
#include "unireplk/config/text.h"
#include "unireplk/config/write.h"

namespace unireplk::config {
namespace {

struct Line {
  std::string key;
  std::string values;
  std::string help;
};

std::string values_of(const Field& field, const Registries& registries) {
  const auto* choice = std::get_if<ChoiceType>(&field.type->is);
  if (!choice) return describe(*field.type, field.constraint);
  return "name: one of " + comma_list(registries.get(choice->signature()).names());
}

std::string default_of(const Field& field) {
  if (must_be_given(field)) return "required";
  if (const auto* choice = std::get_if<ChoiceType>(&field.type->is)) {
    const std::string& name = choice->base(field.member).name();
    return name.empty() ? "optional" : "default " + name;
  }
  return "default " + write_json(snapshot(*field.type, field.member));
}

void collect(const StructType& type, void* value, const std::string& prefix, const Registries& registries,
             std::vector<Line>& out) {
  for (const auto& field : type.fields(value)) {
    if (const auto* nested = std::get_if<StructType>(&field.type->is)) {
      collect(*nested, field.member, prefix + field.key + '.', registries, out);
    } else {
      out.push_back(
          {prefix + field.key, format("{}; {}", values_of(field, registries), default_of(field)), field.help});
    }
  }
}

}  // namespace

std::string detail::help(const StructType& type, const Registries& registries) {
  std::vector<Line> lines;
  collect(type, type.make().get(), {}, registries, lines);
  size_t width = 0;
  for (const auto& line : lines) width = std::max(width, line.key.size());
  std::string out;
  for (const auto& line : lines) out += format("{:<{}}  {} ({})\n", line.key, width, line.help, line.values);
  return out;
}

}  // namespace unireplk::config
