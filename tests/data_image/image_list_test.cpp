#include <ATen/ATen.h>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/data/file_list.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;
using test::TemporaryFolder;
using test::write_file;

struct List {
  explicit List(const std::string& text) { write_file(config.file, text); }
  std::unique_ptr<Source> source() const { return make_file_list(config); }

  TemporaryFolder folder;
  FileListConfig config{.file = folder / "lists" / "train.csv"};
};

TEST_CASE("image_list: paths start at the list, classes are sorted as found") {
  List list("path,label\na/1.jpg,shoe\n\"b, c/2.jpg\",hat\n/abs/3.jpg,shoe\n");
  const auto source = list.source();
  REQUIRE(source->size() == 3);
  CHECK(source->info().classes == std::vector<std::string>{"hat", "shoe"});
  CHECK(source->where(0).file == (list.folder / "lists" / "a/1.jpg").string());
  CHECK(source->where(1).file == (list.folder / "lists" / "b, c/2.jpg").string());
  CHECK(source->where(2).file == "/abs/3.jpg");
  CHECK(source->label(0) == 1);
  CHECK(source->label(1) == 0);
  write_file(list.folder / "lists" / "a" / "1.jpg", "photo");
  const auto record = source->read(0).value_or_throw();
  CHECK(std::get<EncodedBytes>(record.payload).bytes.size() == 5);
  CHECK(record.target.at("label").item<int64_t>() == 1);
  CHECK_THAT(source->read(1).problem().text(), Contains("2.jpg"));
}

TEST_CASE("image_list: columns, root and classes as the config names them") {
  List list("id,kind,where\n1,shoe,1.jpg\n2,hat,2.jpg\n");
  list.config.path = "where";
  list.config.label = "kind";
  list.config.root = "photos";
  list.config.classes = {"shoe", "coat", "hat"};
  const auto source = list.source();
  CHECK(source->info().classes == list.config.classes);
  CHECK(source->where(1).file == "photos/2.jpg");
  CHECK(source->label(1) == 2);
}

TEST_CASE("image_list: classes that are numbers are sorted by value") {
  CHECK(List("path,label\na,10\nb,9\nc,-1\n").source()->info().classes == std::vector<std::string>{"-1", "9", "10"});
  CHECK(List("path,label\na,10\nb,9\nc,x\n").source()->info().classes == std::vector<std::string>{"10", "9", "x"});
}

TEST_CASE("image_list: a list that cannot be understood is told row by row") {
  const auto refused = [](const List& list, const auto& words) { CHECK_THROWS_WITH(list.source(), words); };
  refused(List("path,label\n"), Contains("train.csv") && Contains("a row for each file"));
  refused(List("file,label\na,b\n"), Contains("no column \"path\"") && Contains("file, label"));
  refused(List("path,label\na\n"), Contains("train.csv:2: expected 2 columns, got 1"));
  refused(List("path,label\n,hat\na.jpg,\n"), Contains("train.csv:2: expected the path") && Contains("train.csv:3"));
  refused(List("path,label\na.jpg,\xff\n"), Contains("UTF-8"));
  List closed("path,label\na.jpg,hat\nb.jpg,cap\n");
  closed.config.classes = {"hat"};
  refused(closed, Contains("train.csv:3: there is no class \"cap\"") && Contains("The classes are hat."));
  closed.config.classes = {"hat", "cap", "hat"};
  refused(closed, Contains("\"hat\" comes twice"));
  closed.config.file = "none.csv";
  refused(closed, Contains("none.csv"));
}

TEST_CASE("image_list: of many bad rows the first are told") {
  std::string text = "path,label\n";
  for (int i = 0; i < 1000; ++i) text += ",hat\n";
  try {
    List(text).source();
    FAIL("nothing was refused");
  } catch (const UserError& error) {
    CHECK(error.problems().size() == 20);
  }
}

}  // namespace
}  // namespace unireplk::data::image
