#include "unireplk/data/image/pack.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <span>

#include "data_image/encoded.h"
#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/encode_jpeg.h"
#include "unireplk/data/image/idx.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/image/resize.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;
using test::as_text;
using test::encoded_item;
using test::TemporaryFolder;
using test::write_file;

config::Choice<SourceSignature> folder_choice(const ImageFolderConfig& config) {
  config::Registry<SourceSignature> registry{"data source"};
  registry.add<ImageFolderConfig>("image_folder", "", make_image_folder);
  return config::Choice<SourceSignature>::of(registry, "image_folder", config);
}

/// Two photos, one of a few pixels and one that is none, in two classes.
struct PhotosToPack {
  PhotosToPack() {
    int count = 0;
    for (const char* name : {"hat", "shoes"}) {
      for (const auto& entry : std::filesystem::directory_iterator(test::clothing / name)) {
        write_file(folder / "photos" / name / std::to_string(count++) / "photo.jpg", test::content(entry.path()));
        break;
      }
    }
    auto small = Image::zeros(8, 6, 3);
    const auto jpeg = encode_jpeg(small, 90);
    write_file(folder / "photos" / "hat" / "small.jpg", as_text(jpeg));
    write_file(folder / "photos" / "shoes" / "none.jpg", "no photo");
  }

  config::Choice<SourceSignature> choice() const { return folder_choice({.root = folder / "photos"}); }
  PackCounts pack(const PackOptions& options) const { return write_pack(choice(), options, file); }
  std::string pack_bytes(const PackOptions& options) const { return pack(options), test::content(file); }

  TemporaryFolder folder;
  std::filesystem::path file = folder / "photos.pack";
};

Result<Image> decoded_item(const Source& source, int64_t index) {
  const std::string file = encoded_item(source, index);
  return decode(std::as_bytes(std::span(file)), 3, "x");
}

/// Resized as write_pack does.
Image smaller(const Image& image, int64_t side) {
  const int64_t shorter = std::min(image.width, image.height);
  return resize(image, side * image.width / shorter, side * image.height / shorter, Interpolation::kBicubic);
}

}  // namespace

TEST_CASE("pack: small photos keep their bytes, and items, classes and labels are those of the source") {
  const PhotosToPack photos;
  const auto counts = photos.pack({.shorter_side = 4000});
  CHECK(counts.items == 4);
  CHECK(counts.resized == 0);
  CHECK(counts.undecoded == 1);
  CHECK(counts.bytes == static_cast<int64_t>(std::filesystem::file_size(photos.file)));
  const auto source = photos.choice().make();
  const auto pack = make_pack({.file = photos.file, .origin = photos.choice()});
  REQUIRE(pack->size() == source->size());
  CHECK(pack->info().classes == source->info().classes);
  for (int64_t i = 0; i < pack->size(); ++i) {
    CHECK(encoded_item(*pack, i) == encoded_item(*source, i));
    CHECK(pack->label(i) == source->label(i));
    CHECK(pack->read(i).value_or_throw().target.at("label").item<int64_t>() == source->label(i));
    CHECK(pack->where(i).text() == photos.file.string() + ": " + source->where(i).text());
  }
}

TEST_CASE("pack: large photos become JPEG files of the size asked for") {
  const PhotosToPack photos;
  CHECK(photos.pack({.shorter_side = 64, .quality = 90}).resized == 2);
  const auto source = photos.choice().make();
  const auto pack = make_pack({.file = photos.file});
  for (int64_t i = 0; i < pack->size(); ++i) {
    const auto original = decoded_item(*source, i);
    if (original && original->height > 64) {
      CHECK(encoded_item(*pack, i) == as_text(encode_jpeg(smaller(*original, 64), 90)));
      const auto image = decoded_item(*pack, i).value_or_throw();
      CHECK(std::min(image.width, image.height) == 64);
    } else {
      CHECK(encoded_item(*pack, i) == encoded_item(*source, i));
    }
  }
}

TEST_CASE("pack: pixels come back bit by bit") {
  const PhotosToPack photos;
  CHECK(photos.pack({.shorter_side = 64, .quality = 0}).resized == 2);
  const auto source = photos.choice().make();
  const auto pack = make_pack({.file = photos.file});
  for (int64_t i = 0; i < pack->size(); ++i) {
    const auto original = decoded_item(*source, i);
    if (!original) {
      CHECK(encoded_item(*pack, i) == encoded_item(*source, i));
      continue;
    }
    auto expected = original->height > 64 ? smaller(*original, 64) : *original;
    const auto pixels = std::get<at::Tensor>(pack->read(i).value_or_throw().payload);
    CHECK(at::equal(pixels, at::from_blob(expected.pixels.data(), {expected.height, expected.width, 3}, at::kByte)));
  }
}

TEST_CASE("pack: the number of threads changes no byte") {
  const PhotosToPack photos;
  const auto one = photos.pack_bytes({.shorter_side = 64, .workers = 1});
  CHECK(photos.pack_bytes({.shorter_side = 64, .workers = 3}) == one);
}

TEST_CASE("pack: an origin that has changed is refused") {
  const PhotosToPack photos;
  photos.pack({.shorter_side = 64});
  const auto with_origin = [&] { return make_pack({.file = photos.file, .origin = photos.choice()}); };
  CHECK(with_origin()->size() == 4);
  const auto refused = [&] {
    CHECK_THROWS_WITH(with_origin(),
                      Contains("photos.pack: it was made from another `origin`") && Contains("unireplk pack"));
    CHECK(make_pack({.file = photos.file})->size() == 4);
  };
  const auto photo = photos.folder / "photos" / "hat" / "small.jpg";
  SECTION("a file was touched") {
    std::filesystem::last_write_time(photo, std::filesystem::last_write_time(photo) + std::chrono::nanoseconds(1));
    refused();
  }
  SECTION("a file is longer") {
    const auto time = std::filesystem::last_write_time(photo);
    write_file(photo, test::content(photo) + "x");
    std::filesystem::last_write_time(photo, time);
    refused();
  }
  SECTION("a file came") {
    write_file(photos.folder / "photos" / "hat" / "new.jpg", "x");
    refused();
  }
  SECTION("other options") {
    write_file(photos.folder / "order.txt", "hat\nshoes\n");  // which is what they are anyway
    const auto other = folder_choice({.root = photos.folder / "photos", .class_map = photos.folder / "order.txt"});
    CHECK_THROWS_WITH(make_pack({.file = photos.file, .origin = other}), Contains("another `origin`"));
  }
}

TEST_CASE("pack: a damaged piece is a problem of its item") {
  const PhotosToPack photos;
  std::string file = photos.pack_bytes({.shorter_side = 64});
  file[100] ^= 1;
  write_file(photos.file, file);
  const auto pack = make_pack({.file = photos.file});
  CHECK_THAT(pack->read(0).problem().text(), Contains("photos.pack: ") && Contains("its checksum does not match"));
  for (int64_t i = 1; i < 4; ++i) CHECK(pack->read(i).has_value());
}

TEST_CASE("pack: what is no pack of photos, and what cannot be packed") {
  const PhotosToPack photos;
  write_file(photos.file, std::string(100, 'x'));
  CHECK_THROWS_WITH(make_pack({.file = photos.file}), Contains("photos.pack: does not begin as a pack file"));
  CHECK_THROWS_WITH(make_pack({.file = "none.pack"}), Contains("none.pack: cannot open the file"));

  const std::string images("\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01x", 17), labels("\0\0\x08\x01\0\0\0\x01\0", 9);
  write_file(photos.folder / "images.idx", images);
  write_file(photos.folder / "labels.idx", labels);
  config::Registry<SourceSignature> registry{"data source"};
  registry.add<IdxConfig>("idx", "", make_idx);
  const IdxConfig idx{.images = photos.folder / "images.idx", .labels = photos.folder / "labels.idx", .classes = {}};
  const auto choice = config::Choice<SourceSignature>::of(registry, "idx", idx);
  CHECK_THROWS_WITH(write_pack(choice, {}, photos.folder / "new.pack"),
                    Contains("expected the file of a photo, got an array"));

  write_file(photos.folder / "sounds" / "hat" / "none.jpg", "no photo");
  write_file(photos.folder / "sounds" / "shoes" / "none.jpg", "no photo either");
  CHECK_THROWS_WITH(write_pack(folder_choice({.root = photos.folder / "sounds"}), {}, photos.folder / "new.pack"),
                    Contains("new.pack: none of 2 items is a photo that can be decoded") && Contains("none.jpg"));
  CHECK_FALSE(std::filesystem::exists(photos.folder / "new.pack"));
}

}  // namespace unireplk::data::image
