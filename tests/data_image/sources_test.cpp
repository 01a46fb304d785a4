#include <ATen/ATen.h>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/idx.h"
#include "unireplk/data/image/image_folder.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;
using test::TemporaryFolder;
using test::write_file;

/// An IDX file of bytes: magic number, sizes, content.
std::string idx_of(const std::vector<uint32_t>& sizes, const std::string& content) {
  std::string file{'\0', '\0', '\x08', static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(size >> shift & 0xFF);
  }
  return file + content;
}

struct IdxFiles {
  IdxFiles() {
    images(idx_of({2, 2, 3}, "abcdefghijkl"));
    labels(idx_of({2}, std::string("\x01\x00", 2)));
  }
  void images(const std::string& content) { write_file(config.images, content); }
  void labels(const std::string& content) { write_file(config.labels, content); }
  void classes(const std::string& content) {
    config.classes = folder / "classes.txt";
    write_file(*config.classes, content);
  }

  TemporaryFolder folder;
  IdxConfig config{.images = folder / "images.idx", .labels = folder / "labels.idx", .classes = {}};
};

TEST_CASE("idx: items, labels and classes as they lie in the files") {
  IdxFiles files;
  const auto numbered = make_idx(files.config);
  CHECK(numbered->size() == 2);
  CHECK(numbered->info().classes == std::vector<std::string>{"0", "1"});
  CHECK(numbered->info().constants.at("channels").item<int64_t>() == 1);
  const auto record = numbered->read(1).value_or_throw();
  const auto pixels = std::get<at::Tensor>(record.payload);
  CHECK(pixels.sizes() == at::IntArrayRef{2, 3});
  CHECK(pixels[1][2].item<int64_t>() == 'l');
  CHECK(record.target.at("label").item<int64_t>() == 0);
  CHECK(record.key.item == 1);
  CHECK_THAT(record.source.text(), Contains("images.idx"));
  files.classes("hat\r\nshoe\n\n");
  CHECK(make_idx(files.config)->info().classes == std::vector<std::string>{"hat", "shoe"});
}

TEST_CASE("idx: files that do not belong together, or are none, are told apart in words") {
  IdxFiles files;
  const auto refused = [&](const std::string& words) { CHECK_THROWS_WITH(make_idx(files.config), Contains(words)); };
  SECTION("exchanged") {
    std::swap(files.config.images, files.config.labels);
    refused("exchanged");
  }
  SECTION("other counts") {
    files.labels(idx_of({3}, "abc"));
    refused("expected 2 labels, one for each image, got 3");
  }
  SECTION("label without a class") {
    files.classes("hat\n");
    refused("labels.idx: item 0: expected a label in [0, 0], got 1");
  }
  SECTION("no classes") {
    files.classes("\n");
    refused("one class name a line");
  }
  SECTION("header that lies") {
    files.images(idx_of({4000000000u, 4000000000u, 4000000000u}, "abc"));
    refused("images.idx");
  }
  SECTION("cut") {
    files.images(idx_of({2, 2, 3}, "abcdef"));
    refused("images.idx");
  }
  SECTION("missing") {
    files.config.images = files.folder / "none.idx";
    refused("none.idx");
  }
}

struct PhotoFolder {
  void add(const std::string& path) { write_file(folder / "root" / path, "photo " + path); }
  std::unique_ptr<Source> source() const { return make_image_folder({.root = folder / "root"}); }
  std::vector<std::string> names() const {
    const auto opened = source();
    std::vector<std::string> result;
    for (int64_t i = 0; i < opened->size(); ++i) {
      result.push_back(std::filesystem::path(opened->where(i).file).lexically_relative(folder / "root").string());
    }
    return result;
  }

  TemporaryFolder folder;
};

TEST_CASE("image_folder: classes and files in torchvision's order") {
  PhotoFolder photos;
  for (const char* path :
       {"b/2.PNG", "b/10.jpg", "b/1.jpeg", "a/z.jpg", "a/sub/b.jpg", "a/sub/a.jpg", "a/note.txt", "top.jpg"}) {
    photos.add(path);
  }
  CHECK(photos.source()->info().classes == std::vector<std::string>{"a", "b"});
  CHECK(photos.names() ==
        std::vector<std::string>{"a/z.jpg", "a/sub/a.jpg", "a/sub/b.jpg", "b/1.jpeg", "b/10.jpg", "b/2.PNG"});
  const auto record = photos.source()->read(3).value_or_throw();
  CHECK(record.target.at("label").item<int64_t>() == 1);
  CHECK(std::get<EncodedBytes>(record.payload).bytes.size() == std::string("photo b/1.jpeg").size());
}

TEST_CASE("image_folder: follows links, but not in circles") {
  PhotoFolder photos;
  photos.add("a/1.jpg");
  photos.add("elsewhere/2.jpg");
  std::filesystem::create_directory_symlink("..", photos.folder / "root" / "a" / "up");
  const auto names = photos.names();
  CHECK(names.size() >= 2);
  CHECK(names.size() < 10);
}

TEST_CASE("image_folder: what is missing is named") {
  PhotoFolder photos;
  CHECK_THROWS_WITH(photos.source(), Contains("root") && Contains("got no folder"));
  photos.add("loose.jpg");
  CHECK_THROWS_WITH(photos.source(), Contains("got none"));
  photos.add("a/1.jpg");
  photos.add("empty/readme.txt");
  photos.add("hollow/deep/readme.txt");
  CHECK_THROWS_WITH(photos.source(), Contains("empty") && Contains("hollow"));  // all at once
}

TEST_CASE("image_folder: a file that vanished is a problem of its sample") {
  PhotoFolder photos;
  photos.add("a/1.jpg");
  const auto source = photos.source();
  std::filesystem::remove(photos.folder / "root" / "a" / "1.jpg");
  const auto record = source->read(0);
  REQUIRE_FALSE(record);
  CHECK_THAT(record.problem().text(), Contains("a/1.jpg"));
}

}  // namespace
}  // namespace unireplk::data::image
