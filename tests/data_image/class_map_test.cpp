#include "unireplk/data/class_map.h"

#include <ATen/core/Tensor.h>

#include "data_image/files.h"
#include "support/catch.h"
#include "support/tar_bytes.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"
#include "unireplk/data/file_list.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/image/tar.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;
using test::TemporaryFolder;
using test::write_file;
using Names = std::vector<std::string>;
using Labels = std::vector<int64_t>;

struct Map {
  Map(const std::string& name, const std::string& content) : file(folder / name) { write_file(file, content); }
  ClassMap of(const Names& found) const { return read_class_map(file, found, "photos"); }
  void refused(const Names& found, const std::string& words) const { CHECK_THROWS_WITH(of(found), Contains(words)); }

  TemporaryFolder folder;
  std::filesystem::path file;
};

/// -1: left out.
Labels labels_in(const ClassMap& map) {
  Labels labels;
  for (const auto& label : map.labels) labels.push_back(label.value_or(-1));
  return labels;
}

/// Class and file of each item.
Names classes_and_files(const Source& source) {
  const auto classes = source.info().classes;
  Names items;
  for (int64_t i = 0; i < source.size(); ++i) {
    const auto label = source.read(i).value_or_throw().target.at("label").item<int64_t>();
    CHECK(source.label(i) == label);
    items.push_back(classes.at(static_cast<size_t>(label)) + " " +
                    std::filesystem::path(source.where(i).text()).filename().string());
  }
  return items;
}

}  // namespace

TEST_CASE("class_map: a list gives the order of the classes") {
  const Map map("order.txt", "shoe\r\ncoat\nhat\n\n");
  const auto mapped = map.of({"hat", "shoe"});
  CHECK(mapped.classes == Names{"shoe", "coat", "hat"});
  CHECK(labels_in(mapped) == Labels{2, 0});
}

TEST_CASE("class_map: a table renames, merges and leaves out") {
  const Map map("map.csv", "class,name,remark\nfeet,shoe,\nfeet,boot,x\n,coat,\nhead,hat,\narms,glove,\n");
  const auto mapped = map.of({"boot", "coat", "hat", "shoe"});
  CHECK(mapped.classes == Names{"arms", "feet", "head"});
  CHECK(labels_in(mapped) == Labels{1, -1, 2, 1});
}

TEST_CASE("class_map: classes that are numbers are sorted by value") {
  const Map map("map.csv", "name,class\na,10\nb,9\n");
  CHECK(map.of({"a", "b"}).classes == Names{"9", "10"});
}

TEST_CASE("class_map: what cannot be is told with its line") {
  Map("order.txt", "hat\nshoe\nhat\n\nboot\n")
      .refused({"hat"}, "order.txt:3: the class \"hat\" stands in line 1 already");
  Map("order.txt", "hat\nshoe\n\nboot\n").refused({"hat"}, "order.txt:3: expected the name of a class, got nothing");
  Map("order.txt", "hat\n")
      .refused({"cap", "hat", "shoe"}, "a line for every class of photos, got none for cap, shoe.");
  Map("order.txt", "\xff\n").refused({"hat"}, "order.txt: expected text in UTF-8");
  Map("map.csv", "name,class\nhat,a\nhat,b\n").refused({"hat"}, "map.csv:3: the class \"hat\" stands in line 2");
  Map("map.csv", "hat,a\n").refused({"hat"}, "no column \"name\"");
  Map("map.csv", "name,class\nhat\n").refused({"hat"}, "map.csv:2: expected 2 columns, got 1");
  Map("map.csv", "name,class\nhat,\n").refused({"hat"}, "leaves out every class of photos");
  Map("map.csv", "name,class\nhat,a\n").refused({"shoe"}, "map.csv: expected a line for every class");
}

TEST_CASE("class_map: folders, lists and tar files take it alike") {
  const Map map("map.csv", "name,class\nboot,feet\nshoe,feet\ncoat,\nhat,head\n");
  Names paths;
  std::string list = "path,label\n";
  std::vector<std::pair<std::string, std::string>> members;
  for (const std::string path : {"boot/1.jpg", "coat/2.jpg", "hat/3.jpg", "shoe/4.jpg"}) {
    write_file(map.folder / "photos" / path, "x");
    list += path + "," + path.substr(0, path.find('/')) + "\n";
    members.emplace_back(path, "x");
  }
  write_file(map.folder / "photos" / "list.csv", list);
  write_file(map.folder / "photos.tar", test::tar_of(members));
  const Names expected{"feet 1.jpg", "head 3.jpg", "feet 4.jpg"};
  CHECK(classes_and_files(*make_image_folder({.root = map.folder / "photos", .class_map = map.file})) == expected);
  CHECK(classes_and_files(*make_file_list({.file = map.folder / "photos" / "list.csv", .class_map = map.file})) ==
        expected);
  CHECK(classes_and_files(*make_tar({.file = map.folder / "photos.tar", .class_map = map.file})) == expected);
}

TEST_CASE("class_map: a list has its classes from one place") {
  const auto tree = config::load_text("{file: a.csv, classes: [hat], class_map: order.txt}", "c.yaml");
  CHECK_THROWS_WITH(config::parse<FileListConfig>(tree, {}), Contains("class_map: `classes` says the classes already"));
}

}  // namespace unireplk::data::image
