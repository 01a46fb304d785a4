#include "unireplk/data/image/tar.h"

#include <ATen/ops/equal.h>

#include "data_image/encoded.h"
#include "data_image/files.h"
#include "support/catch.h"
#include "support/tar_bytes.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/image/tar_index.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;
using test::encoded_item;
using test::tar_end;
using test::tar_member;
using test::tar_of;
using test::TemporaryFolder;
using test::write_file;

struct Tars {
  /// An archive `name` with these bytes, which the config then names.
  void write(const std::string& name, const std::string& content) {
    config.file = folder / name;
    write_file(config.file, content);
  }
  void labels(const std::string& name, const std::string& content) {
    config.labels = folder / name;
    write_file(*config.labels, content);
  }
  void refused(const std::string& words) const { CHECK_THROWS_WITH(make_tar(config), Contains(words)); }

  TemporaryFolder folder;
  TarConfig config{.file = {}};
};

/// The items in order: class and content.
std::vector<std::string> classes_and_contents(const Source& source) {
  const auto classes = source.info().classes;
  std::vector<std::string> items;
  for (int64_t i = 0; i < source.size(); ++i) {
    const auto label = source.read(i).value_or_throw().target.at("label").item<int64_t>();
    CHECK(source.label(i) == label);
    items.push_back(classes.at(static_cast<size_t>(label)) + " " + encoded_item(source, i));
  }
  return items;
}

void shell(const std::string& command) {
  INFO(command);
  REQUIRE(std::system(command.c_str()) == 0);
}

}  // namespace

TEST_CASE("tar: whatever the layout, the items are those of the unpacked tree") {
  const TemporaryFolder folder;
  const std::string long_name(120, 'n');
  for (const auto& name :
       {std::string("b/2.JPEG"), std::string("b/10.jpg"), std::string("b c/1.png"), "b/" + long_name + ".jpg",
        std::string("a/sub/1.jpg"), std::string("a/z.jpg"), std::string("b/sub-x/3.jpg"), std::string("b/sub/3.jpg"),
        std::string("a/note.txt"), std::string("a/ä, \"q\".jpg")}) {
    write_file(folder / "tree" / name, "bytes of " + name);
  }
  const auto in = "cd '" + folder.path().string() + "' && ";
  shell(in + "mkdir each && cd tree && for c in *; do tar -C \"$c\" -cf \"../each/$c.tar\" .; done");
  shell(in + "tar -C each -cf of_tars.tar --format=pax a.tar 'b c.tar' b.tar");
  shell(in + "tar -C tree -cf of_folders.tar --format=gnu .");
  shell(in + "tar -cf deep.tar tree");
  const auto expected = make_image_folder({.root = folder / "tree"});
  REQUIRE(expected->size() == 9);
  for (const char* name : {"each", "of_tars.tar", "of_folders.tar", "deep.tar"}) {
    INFO(name);
    for (const bool has_index : {false, true, true}) {  // the second time it is there
      TarConfig config{.file = folder / name};
      if (has_index) config.index = folder / "index";
      if (name == std::string("deep.tar")) config.folder = "tree";
      const auto source = make_tar(config);
      CHECK(source->info().classes == expected->info().classes);
      CHECK(classes_and_contents(*source) == classes_and_contents(*expected));
    }
  }
}

TEST_CASE("tar: a folder of more tar files than may stay open") {
  Tars tars;
  for (int i = 100; i < 200; ++i)
    tars.write("all/c" + std::to_string(i) + ".tar", tar_of({{"1.jpg", std::to_string(i)}}));
  tars.config.file = tars.folder / "all";
  const auto source = make_tar(tars.config);
  REQUIRE(source->size() == 100);
  CHECK(encoded_item(*source, 42) == "142");
  CHECK(source->info().classes.at(42) == "c142");
  std::filesystem::remove(tars.folder / "all" / "c142.tar");
  write_file(tars.folder / "all" / "c143.tar", tar_of({{"1.jpg", "longer"}, {"2.jpg", "x"}}));
  CHECK_THAT(source->read(42).problem().text(), Contains("c142.tar"));
  CHECK_THAT(source->read(43).problem().text(), Contains("has changed since its headers were read"));
  CHECK(source->read(44).has_value());
}

TEST_CASE("tar: an item is named by archive and path") {
  Tars tars;
  tars.write("t.tar", tar_of({{"./n01/1.jpg", "x"}}));
  const auto source = make_tar(tars.config);
  CHECK(source->where(0).text() == (tars.folder / "t.tar").string() + ": n01/1.jpg");
  std::filesystem::resize_file(tars.config.file, 512);
  CHECK_THAT(source->read(0).problem().text(), Contains("t.tar") && Contains("cut short"));
}

TEST_CASE("tar: labels of a flat archive, a line each in the order of the names") {
  Tars tars;
  tars.write("val.tar", tar_of({{"val_3.JPEG", "third"}, {"val_1.JPEG", "first"}, {"val_2.JPEG", "second"}}));
  tars.refused("images in no folder have no class: val_3.JPEG, val_1.JPEG, val_2.JPEG. Name the file");
  tars.labels("truth.txt", "10\r\n9\n10\n\n");
  const auto source = make_tar(tars.config);
  CHECK(classes_and_contents(*source) == std::vector<std::string>{"10 first", "9 second", "10 third"});
  CHECK(source->info().classes == std::vector<std::string>{"9", "10"});
  tars.labels("truth.txt", "10\n9\n");
  tars.refused("truth.txt: expected 3 lines, one for each image of");
  tars.labels("truth.txt", "10\n\n9\n");
  tars.refused("truth.txt:2: expected the name of a class");
}

TEST_CASE("tar: labels of a flat archive, a table") {
  Tars tars;
  tars.write("val.tar", tar_of({{"2.jpg", "two"}, {"1.jpg", "one"}}));
  tars.labels("val.csv", "label,path\nn02,1.jpg\nn01,2.jpg\n");
  const auto source = make_tar(tars.config);
  CHECK(classes_and_contents(*source) == std::vector<std::string>{"n02 one", "n01 two"});
  tars.labels("val.csv", "label,path\nn02,1.jpg\nn01,1.jpg\n,2.jpg\nn01,3.jpg\n");
  tars.refused("val.csv:3: the image \"1.jpg\" comes twice");
  tars.refused("val.csv:4: expected the name of a class");
  tars.refused("val.csv:5: there is no image \"3.jpg\"");
  tars.labels("val.csv", "label,path\nn02,1.jpg\n");
  tars.refused("a row for each image, got none for 2.jpg");
  tars.labels("val.csv", "wnid,path\nn02,1.jpg\n");
  tars.refused("no column \"label\"");
}

TEST_CASE("tar: archives that hold something else are refused by name") {
  Tars tars;
  tars.config.file = tars.folder / "none.tar";
  tars.refused("none.tar: cannot open the file");
  std::filesystem::create_directory(tars.folder / "empty");
  tars.config.file = tars.folder / "empty";
  tars.refused("one tar file for each class, got none");
  tars.write("t.tar", "no archive");
  tars.refused("t.tar: header at byte 0: ");
  tars.write("t.tar", tar_of({{"a/readme.txt", "x"}}));
  tars.refused("t.tar: expected at least one image (.jpg");
  tars.write("t.tar", tar_of({{"n01.tar", tar_of({{"1.jpg", "x"}})}, {"n02.tar", tar_of({{"readme", "x"}})}}));
  tars.refused("t.tar: n02.tar: expected at least one image");
  tars.write("t.tar", tar_of({{"n01.tar", tar_of({{"1.jpg", "x"}}).substr(0, 1024)}}));
  tars.refused("t.tar: n01.tar: header at byte 1024: the archive ends without");
  tars.write("t.tar", tar_of({{"n01.tar", tar_of({{"n02.tar", tar_of({{"1.jpg", "x"}})}})}}));
  tars.refused("a tar file in a tar file in a tar file");
  tars.write("t.tar", tar_member({.name = "a/1.jpg", .type = '2'}, "") + tar_end());
  tars.refused("t.tar: a/1.jpg: expected a file, got a link or device");
  tars.write("t.tar", tar_of({{"../a/1.jpg", "x"}}));
  tars.refused("leads out of the archive");
  tars.write("t.tar", tar_of({{"a/1.jpg", "x"}, {"./a/1.jpg", "y"}}));
  tars.refused("the image \"a/1.jpg\" comes twice");
  tars.write("t.tar", tar_of({{"\xff/1.jpg", "x"}}));
  tars.refused("the name of a class in UTF-8");
  tars.write("t.tar", tar_of({{"a/1.jpg", "x"}}));
  tars.config.folder = "train";
  tars.refused("expected images in the folder train/, got none. The first is a/1.jpg.");
}

TEST_CASE("tar: the index is made again when the archive has changed, and only then") {
  Tars tars;
  const auto index = tars.folder / "index.csv";
  tars.config.index = index;
  tars.write("t.tar", tar_of({{"a/1.jpg", "one"}}));
  CHECK(make_tar(tars.config)->size() == 1);
  const std::string first = test::content(index);
  CHECK_THAT(first, Contains("image,a/1.jpg,512,3"));

  // What the index says is believed while the archive is the same.
  write_file(index, first + "image,a/2.jpg,512,2\n");
  CHECK(classes_and_contents(*make_tar(tars.config)) == std::vector<std::string>{"a one", "a on"});

  tars.write("t.tar", tar_of({{"a/1.jpg", "one"}, {"b/2.jpg", "two"}}));
  CHECK(classes_and_contents(*make_tar(tars.config)) == std::vector<std::string>{"a one", "b two"});
  CHECK(classes_and_contents(*make_tar(tars.config)) == std::vector<std::string>{"a one", "b two"});

  const auto earlier = std::filesystem::last_write_time(tars.config.file);
  tars.write("t.tar", tar_of({{"c/1.jpg", "one"}, {"d/2.jpg", "two"}}));  // of the same size
  std::filesystem::last_write_time(tars.config.file, earlier + std::chrono::nanoseconds(1));
  CHECK(classes_and_contents(*make_tar(tars.config)) == std::vector<std::string>{"c one", "d two"});
}

TEST_CASE("tar: a file that is no index, or a damaged one, is left alone") {
  Tars tars;
  tars.write("t.tar", tar_of({{"a/1.jpg", "one"}}));
  const auto index = tars.folder / "index.csv";
  tars.config.index = index;
  make_tar(tars.config);
  const std::string good = test::content(index);
  const auto refused = [&](const std::string& content, const std::string& words) {
    write_file(index, content);
    tars.refused(words);
    CHECK(test::content(index) == content);
  };
  refused("my notes\n", "index.csv: expected the index of tar files, got another file. Remove the file");
  refused(good + "image,a/2.jpg,512\n", "index.csv:4: expected 4 columns");
  refused(good + "image,a/2.jpg,x,3\n", "index.csv:4: expected a number, got \"x\"");
  refused(good + "image,a/2.jpg,512,999999\n", "index.csv:4: an image beyond the end of its archive");
  refused(good + "image,a/2.jpg,-1,3\n", "index.csv:4: an image beyond the end of its archive");
  refused(good.substr(0, good.find('\n') + 1) + "image,a/2.jpg,512,3\n", "index.csv:2: expected an archive");
  tars.config.index = tars.config.file;
  tars.refused("t.tar: expected the index of tar files");
}

}  // namespace unireplk::data::image
