#include <ATen/ATen.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <set>
#include <vector>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/crops.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/image_pipeline.h"
#include "unireplk/data/image/rand_augment.h"
#include "unireplk/data/image/reshapes.h"
#include "unireplk/data/image/resize.h"
#include "unireplk/data/loader.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;

RandomStream stream(int64_t item) { return Draw{.seed = 5, .epoch = 2, .item = item}.stream(1); }

/// Each pixel tells its place: red is the column, green the row.
Image map_of(int64_t width, int64_t height) {
  Image image = Image::zeros(width, height, 3);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      image.row(y)[3 * x] = static_cast<uint8_t>(x);
      image.row(y)[3 * x + 1] = static_cast<uint8_t>(y);
      image.row(y)[3 * x + 2] = 200;
    }
  }
  return image;
}

Image applied(const Transform& transform, const Image& image, int64_t item = 0) {
  auto random = stream(item);
  return transform.apply(image, random).value_or_throw();
}

TEST_CASE("center_crop: the offset of the specification, half to even, black where the image ends") {
  const auto offset = [](int64_t width, int64_t size) {
    return int64_t{applied(*make_center_crop({.size = size}), map_of(width, 40)).row(0)[0]};
  };
  CHECK(offset(32, 32) == 0);
  CHECK(offset(33, 32) == 0);  // 0.5 -> 0
  CHECK(offset(35, 32) == 2);  // 1.5 -> 2
  CHECK(offset(37, 32) == 2);  // 2.5 -> 2
  const auto framed = applied(*make_center_crop({.size = 8}), map_of(5, 6));
  CHECK(framed.width == 8);
  CHECK(framed.row(0)[2] == 0);
  CHECK(framed.row(1)[3 * 1 + 2] == 200);  // one column before, two behind; one row before, one behind
  CHECK(framed.row(1)[3 * 6 + 2] == 0);
  CHECK(framed.row(7)[3 * 3 + 2] == 0);
}

TEST_CASE("resize: the shorter side, the longer rounded down; warp: both") {
  const auto resized = applied(*make_resize({.size = 20}), map_of(61, 40));
  CHECK(resized.height == 20);
  CHECK(resized.width == 30);
  const auto warped = applied(*make_warp({.size = 20}), map_of(61, 40));
  CHECK(warped.height == 20);
  CHECK(warped.width == 20);
}

TEST_CASE("random_crop: reaches every place, corners of the padding included, and no other") {
  const auto transform = make_random_crop({.size = 4, .padding = 1});
  std::set<std::pair<int, int>> places;  // of the upper left pixel that is no padding
  for (int64_t item = 0; item < 2000; ++item) {
    const auto cut = applied(*transform, map_of(4, 4), item);
    REQUIRE(cut.width == 4);
    REQUIRE(cut.height == 4);
    int left = 0, top = 0;
    for (int d = 0; d < 4; ++d) {
      if (cut.row(d)[3 * d + 2] == 200) {
        left = cut.row(d)[3 * d] - d;
        top = cut.row(d)[3 * d + 1] - d;
        break;
      }
    }
    places.insert({left, top});
  }
  CHECK(places.size() == 9);  // offsets -1, 0, 1 in both directions
}

TEST_CASE("horizontal_flip: half of the images, to the pixel") {
  const auto transform = make_horizontal_flip({.p = 0.5});
  int flipped = 0;
  for (int64_t item = 0; item < 2000; ++item) {
    const auto image = applied(*transform, map_of(5, 2), item);
    if (image.row(1)[0] == 4) {
      ++flipped;
      for (int x = 0; x < 5; ++x) CHECK(image.row(1)[3 * x] == 4 - x);
    }
  }
  CHECK(flipped > 900);
  CHECK(flipped < 1100);
  CHECK(applied(*make_horizontal_flip({.p = 0}), map_of(5, 2)).row(0)[0] == 0);
  CHECK(applied(*make_horizontal_flip({.p = 1}), map_of(5, 2)).row(0)[0] == 4);
}

TEST_CASE("random_resized_crop: area and shape stay in range, the mean area is that of the specification") {
  RandomResizedCropConfig config;
  config.size = 1;
  double sum = 0;
  constexpr int kDraws = 3000;
  for (int64_t item = 0; item < kDraws; ++item) {
    // One pixel of a crop of a constant gradient is its mean: of red (column) and green (row), the centre.
    auto random = stream(item);
    const auto pixel = make_random_resized_crop(config)->apply(map_of(200, 200), random).value_or_throw();
    REQUIRE(pixel.width == 1);
    sum += pixel.row(0)[0];
    CHECK(pixel.row(0)[2] == 200);
  }
  CHECK(sum / kDraws == Approx(99.5).margin(1.5));
}

TEST_CASE("random_resized_crop: whole image when its area has to be all of it") {
  RandomResizedCropConfig config;
  config.size = 40;
  config.scale = {1.0, 1.0};
  config.ratio = {1.0, 1.0};
  CHECK(applied(*make_random_resized_crop(config), map_of(40, 40)).pixels == map_of(40, 40).pixels);
  config.size = 30;  // no square holds the area of 60 x 30: the middle is taken after ten attempts
  CHECK(applied(*make_random_resized_crop(config), map_of(60, 30)).row(0)[0] == 15);
}

Record record_of(const Image& image) {
  const auto pixels =
      at::from_blob(const_cast<uint8_t*>(image.pixels.data()), {image.height, image.width, 3}, at::kByte);
  return {
      .payload = pixels.clone(), .target = {{"label", at::tensor(int64_t{3})}}, .key = {}, .source = {.file = "photo"}};
}

at::Tensor seen(const ImagePipelineConfig& config, Mode mode, const Image& image, const Draw& draw = {}) {
  const auto pipeline = make_image_pipeline(config, {}, mode);
  return pipeline->apply(record_of(image), draw).value_or_throw().front().fields.at("image");
}

/// Memory of the heap, with something in it, counted.
class CountedMemory : public std::pmr::memory_resource {
 public:
  int64_t allocated = 0;

 private:
  void* do_allocate(size_t bytes, size_t alignment) override {
    ++allocated;
    return std::memset(std::pmr::new_delete_resource()->allocate(bytes, alignment), 0xA5, bytes);
  }
  void do_deallocate(void* block, size_t bytes, size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

/// What asks for no memory in particular gets this one, as long as this lives.
class DefaultMemory {
 public:
  explicit DefaultMemory(std::pmr::memory_resource& memory) : before_(std::pmr::set_default_resource(&memory)) {}
  ~DefaultMemory() { std::pmr::set_default_resource(before_); }
  DefaultMemory(const DefaultMemory&) = delete;
  DefaultMemory& operator=(const DefaultMemory&) = delete;

 private:
  std::pmr::memory_resource* before_;
};

Pixels bytes_in(const at::Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<uint8_t>();
  return {data, data + tensor.numel()};
}

TEST_CASE("image pipeline: published evaluation at each size equals its steps") {
  const auto image = test::spec_image();  // 60 x 40
  ImagePipelineConfig config;
  struct Size {
    int64_t size, shorter, longer;
  };
  // The shorter side is size / 0.875, rounded down.
  const auto [size, shorter, longer] =
      GENERATE(values<Size>({{48, 54, 81}, {192, 219, 328}, {224, 256, 384}, {320, 365, 547}}));
  config.size = size;
  const auto resized = resize(image, longer, shorter, Interpolation::kBicubic);
  const auto expected = crop(resized, static_cast<int64_t>(std::nearbyint(static_cast<double>(longer - size) / 2)),
                             static_cast<int64_t>(std::nearbyint(static_cast<double>(shorter - size) / 2)), size, size);
  CHECK(bytes_in(seen(config, Mode::kEvaluation, image)) == expected.pixels);
}

TEST_CASE("image pipeline: published evaluation keeps the whole image from 384 on, and up to 32") {
  const auto image = test::spec_image();
  ImagePipelineConfig config;
  config.size = GENERATE(384, 400);
  config.crop_pct = GENERATE(0.875, 1.0);  // of no effect
  CHECK(bytes_in(seen(config, Mode::kEvaluation, image)) ==
        resize(image, config.size, config.size, Interpolation::kBicubic).pixels);
  config.size = 32;
  CHECK(bytes_in(seen(config, Mode::kEvaluation, map_of(32, 32))) == map_of(32, 32).pixels);
}

TEST_CASE("image pipeline: another crop_pct changes the resize before the crop") {
  const auto image = test::spec_image();
  ImagePipelineConfig config;
  config.size = 48;
  config.crop_pct = 1.0;
  const auto resized = applied(*make_resize({.size = 48}), image);
  CHECK(bytes_in(seen(config, Mode::kEvaluation, image)) == applied(*make_center_crop({.size = 48}), resized).pixels);
}

TEST_CASE("image pipeline: the same draw gives the same bytes, another epoch or item others") {
  ImagePipelineConfig config;
  config.size = 40;
  const auto image = test::spec_image();
  const auto first = seen(config, Mode::kTrain, image, {.seed = 1, .epoch = 0, .item = 7});
  CHECK(first.sizes() == at::IntArrayRef{40, 40, 3});
  CHECK(at::equal(first, seen(config, Mode::kTrain, image, {.seed = 1, .epoch = 0, .item = 7})));
  CHECK_FALSE(at::equal(first, seen(config, Mode::kTrain, image, {.seed = 1, .epoch = 1, .item = 7})));
  CHECK_FALSE(at::equal(first, seen(config, Mode::kTrain, image, {.seed = 1, .epoch = 0, .item = 8})));
  CHECK_FALSE(at::equal(first, seen(config, Mode::kTrain, image, {.seed = 2, .epoch = 0, .item = 7})));
}

TEST_CASE("image pipeline: what it has seen the size of takes no new memory for pixels, and leaves no trace") {
  CountedMemory memory;
  const DefaultMemory guard(memory);
  ImagePipelineConfig config;
  config.size = 40;
  config.auto_augment = "rand-m9-mstd0.5-inc1";
  const auto pipeline = make_image_pipeline(config, {}, Mode::kTrain);
  const std::string photo = test::content(test::one_photo);
  const auto bytes = std::as_bytes(std::span(photo));
  const Record record{.payload = EncodedBytes{{bytes.begin(), bytes.end()}}, .target = {}, .key = {}, .source = {}};
  const auto round = [&] {
    std::vector<at::Tensor> images;
    for (int64_t item = 0; item < 30; ++item) {
      const auto samples = pipeline->apply(record, {.seed = 1, .epoch = 0, .item = item}).value_or_throw();
      images.push_back(samples.front().fields.at("image").clone());
    }
    return images;
  };
  const auto first = round();
  const int64_t allocated = memory.allocated;
  const auto second = round();
  CHECK(allocated > 0);
  CHECK(memory.allocated == allocated);
  for (size_t i = 0; i < first.size(); ++i) CHECK(at::equal(first[i], second[i]));
}

TEST_CASE("image pipeline: auto_augment adds rand_augment to the published training, filled with the mean") {
  const auto image = test::spec_image();
  ImagePipelineConfig plain;
  plain.size = GENERATE(40, 20);
  plain.mean = std::vector<double>{0.5, 0.25, 1.0};
  ImagePipelineConfig config = plain;
  config.auto_augment = "rand-m9-n1-p1-inc1";
  RandAugmentConfig augment{.magnitude = 9, .magnitude_std = 0, .layers = 1, .probability = 1, .fill = {128, 64, 255}};
  std::set<Pixels> seen_values;
  for (int64_t item = 0; item < 60; ++item) {
    const Draw draw{.seed = 1, .epoch = 0, .item = item};
    const Image before{plain.size, plain.size, 3, bytes_in(seen(plain, Mode::kTrain, image, draw))};
    auto random = draw.stream(test::fnv1a({'r', 'a', 'n', 'd', '_', 'a', 'u', 'g', 'm', 'e', 'n', 't'}));
    const Image expected = make_rand_augment(augment)->apply(before, random).value_or_throw();
    const auto got = bytes_in(seen(config, Mode::kTrain, image, draw));
    REQUIRE(got == expected.pixels);
    seen_values.insert(got);
  }
  CHECK(seen_values.size() == 60);
  config.auto_augment = "none";
  config.color_jitter = 0.4;
  CHECK_FALSE(at::equal(seen(config, Mode::kTrain, image), seen(plain, Mode::kTrain, image)));
  CHECK(seen(config, Mode::kEvaluation, crop(image, 0, 0, 20, 20))
            .equal(seen(plain, Mode::kEvaluation, crop(image, 0, 0, 20, 20))));
}

/// PhotosInMemory that differ, held in memory.
class PhotosInMemory : public Source {
 public:
  int64_t size() const override { return 24; }
  Result<Record> read(int64_t index) const override {
    Record record = record_of(crop(test::spec_image(), index % 10, index % 7, 50, 30));
    record.target["label"] = at::tensor(index);
    return record;
  }
  DataInfo info() const override {
    return {
        .fields = {{.name = "label", .dtype = at::kLong, .shape = {1}, .meaning = ""}}, .classes = {}, .constants = {}};
  }
};

TEST_CASE("image pipeline: with RandAugment, the number of workers changes no bit") {
  ImagePipelineConfig config;
  config.size = 40;
  config.auto_augment = "rand-m9-mstd0.5-inc1";
  const auto source = std::make_shared<PhotosInMemory>();
  const auto dataset = make_dataset(source, make_image_pipeline(config, source->info(), Mode::kTrain));
  const auto sampler = shuffled_sampler(source->size(), 4, 1);
  const auto epoch = [&](int64_t workers, int64_t number) {
    Loader loader(dataset, *sampler, Mode::kTrain, {.batch_size = 4, .workers = workers},
                  {.device = at::kCPU, .threads = 1, .seed = 5, .rank = {}});
    loader.start(number);
    std::vector<at::Tensor> images;
    while (auto batch = loader.next()) images.push_back(batch->tensor("image"));
    return at::cat(images);
  };
  const auto alone = epoch(0, 1);
  CHECK(alone.size(0) == 24);
  CHECK(epoch(2, 1).equal(alone));
  CHECK_FALSE(epoch(2, 2).equal(alone));
}

TEST_CASE("image pipeline: what it does not decode changes no bit") {
  const std::string photo = test::content(test::one_photo);
  const auto bytes = std::as_bytes(std::span(photo));
  const Image pixels = decode(bytes, 3, "x").value_or_throw();
  Record file = record_of(pixels);
  file.payload = EncodedBytes{{bytes.begin(), bytes.end()}};
  Record path = file;
  path.payload = test::one_photo;
  ImagePipelineConfig config;
  config.size = 64;
  config.train_interpolation = InterpolationChoice::kRandom;
  const auto pipeline = make_image_pipeline(config, {}, Mode::kTrain);
  for (int64_t item = 0; item < 20; ++item) {
    const Draw draw{.seed = 3, .epoch = 1, .item = item};
    const auto seen = [&](const Record& record) {
      return pipeline->apply(record, draw).value_or_throw().front().fields.at("image");
    };
    const at::Tensor expected = seen(record_of(pixels));
    CHECK(seen(file).equal(expected));
    CHECK(seen(path).equal(expected));
  }
}

TEST_CASE("image pipeline: tells the stages of a sample in their order") {
  ImagePipelineConfig config;
  config.auto_augment = "rand-m9";
  config.size = 40;
  const auto pipeline = make_image_pipeline(config, {}, Mode::kTrain);
  std::vector<std::string> stages;
  pipeline->observe_stages([&](const std::string& stage) { stages.push_back(stage); });
  const Record record = record_of(test::spec_image());
  REQUIRE(pipeline->apply(record, {}));
  CHECK(stages ==
        std::vector<std::string>{"decode", "random_resized_crop", "horizontal_flip", "rand_augment", "tensor"});
  pipeline->observe_stages({});
  REQUIRE(pipeline->apply(record, {}));
  CHECK(stages.size() == 5);
}

TEST_CASE("image pipeline: says which keys contradict each other") {
  const auto read = [](const std::string& yaml) {
    return config::parse<ImagePipelineConfig>(config::load_text(yaml, "p.yaml"), {});
  };
  CHECK(read("auto_augment: rand-m9-mstd0.5-inc1").auto_augment == "rand-m9-mstd0.5-inc1");
  CHECK(read("color_jitter: 0.4").color_jitter == 0.4);
  CHECK_THROWS_WITH(read("auto_augment: rand-m99"), Contains("auto_augment") && Contains("m from 0 to 10"));
  CHECK_THROWS_WITH(read("{auto_augment: rand, color_jitter: 0.4}"), Contains("no effect beside auto_augment"));
  CHECK_THROWS_WITH(read("{train: [], color_jitter: 0.4}"), Contains("leaves train_interpolation"));
}

TEST_CASE("image pipeline: transforms that leave another size are the config's fault") {
  ImagePipelineConfig config;
  config.size = 32;
  CHECK_THROWS_WITH(seen(config, Mode::kEvaluation, map_of(40, 32)),
                    Contains("data.pipeline: expected 32 x 32 pixels") && Contains("got 40 x 32 from photo"));
  config.mean = std::vector<double>{0.5};
  CHECK_THROWS_WITH(make_image_pipeline(config, {}, Mode::kTrain), Contains("expected 3 values"));
}

}  // namespace
}  // namespace unireplk::data::image
