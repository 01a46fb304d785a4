#include "unireplk/data/audio/class_index.h"

#include <algorithm>

#include "unireplk/data/class_names.h"
#include "unireplk/io/csv_file.h"

namespace unireplk::data::audio {

Result<std::vector<int64_t>> ClassIndex::labels_of(std::string_view mids, const std::string& where) const {
  std::vector<int64_t> labels;
  for (size_t begin = 0; begin <= mids.size();) {
    const size_t end = std::min(mids.find(',', begin), mids.size());
    const std::string_view mid = mids.substr(begin, end - begin);
    const auto found = label_of.find(mid);
    if (found == label_of.end()) {
      return Problem{where, format("there is no class \"{}\"", mid), format("The classes are those of {}.", place)};
    }
    labels.push_back(found->second);
    begin = end + 1;
  }
  return labels;
}

ClassIndex read_class_index(const std::filesystem::path& file) {
  const auto table = io::read_csv_table(file);
  const size_t index = table.column("index"), mid = table.column("mid"), name = table.column("display_name");
  ClassIndex classes{.place = table.place, .names = {}, .label_of = {}};
  for (const auto& row : table.rows) {
    const auto expected = std::ssize(classes.names);
    const bool counts = row.fields[index] == format("{}", expected);
    if (!counts || !classes.label_of.emplace(row.fields[mid], expected).second) {
      throw UserError({place_of(table.place, row.line),
                       counts ? format("the class \"{}\" comes twice", row.fields[mid])
                              : format("expected the index {}, got \"{}\"", expected, row.fields[index]),
                       "Number the classes from zero, each once."});
    }
    classes.names.push_back(row.fields[name]);
  }
  if (classes.names.empty()) throw UserError({table.place, "expected a row for each class, got none", ""});
  data::labels_of(classes.names, table.place);  // no name twice
  return classes;
}

}  // namespace unireplk::data::audio
