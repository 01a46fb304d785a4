#include "unireplk/data/image/decode.h"

#include <spng.h>

#include <cstring>

#include "data_image/files.h"
#include "data_image/jpeg_file.h"
#include "support/catch.h"
#include "unireplk/core/rng.h"

using namespace unireplk;
using namespace unireplk::data::image;
using Catch::Matchers::Contains;

namespace {

std::span<const std::byte> span_of(const std::string& content) { return std::as_bytes(std::span(content)); }

/// Pixels of a small .npy file: the data behind a header of known form.
std::vector<uint8_t> npy_pixels(const std::string& content) {
  const auto header = static_cast<uint8_t>(content[8]) + 256u * static_cast<uint8_t>(content[9]);
  return {content.begin() + 10 + header, content.end()};
}

std::string grey_jpeg(const std::vector<uint8_t>& pixels, int width, int height) {
  return test::jpeg_file(
      pixels, {.width = width, .height = height, .samples = JCS_GRAYSCALE, .colors = JCS_GRAYSCALE, .quality = 100});
}

/// A PNG of raw samples in the file's own layout.
std::string png(const std::vector<uint8_t>& samples, uint32_t width, uint32_t height, uint8_t bit_depth,
                spng_color_type color_type, const spng_plte* palette = nullptr) {
  spng_ihdr header{};
  header.width = width;
  header.height = height;
  header.bit_depth = bit_depth;
  header.color_type = static_cast<uint8_t>(color_type);
  spng_ctx* encoder = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(encoder, SPNG_ENCODE_TO_BUFFER, 1);
  REQUIRE(spng_set_ihdr(encoder, &header) == 0);
  if (palette != nullptr) {
    spng_plte copy = *palette;
    REQUIRE(spng_set_plte(encoder, &copy) == 0);
  }
  REQUIRE(spng_encode_image(encoder, samples.data(), samples.size(), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE) == 0);
  size_t size = 0;
  int error = 0;
  void* buffer = spng_get_png_buffer(encoder, &size, &error);
  std::string content(static_cast<char*>(buffer), size);
  std::free(buffer);
  spng_ctx_free(encoder);
  return content;
}

std::string grey_png(const std::vector<uint8_t>& samples, uint32_t width, uint32_t height) {
  return png(samples, width, height, 8, SPNG_COLOR_TYPE_GRAYSCALE);
}

std::vector<uint8_t> pixels_of(const std::string& file, int64_t channels) {
  const Image image = decode(span_of(file), channels, "x").value_or_throw();
  return {image.pixels.begin(), image.pixels.end()};
}

}  // namespace

TEST_CASE("decode: a JPEG is bit-equal to what Pillow gives", "[golden]") {
  const auto data = test::test_data();
  if (!data) {
    WARN("skipped: UNIREPLK_TEST_DATA is not set");
    return;
  }
  const auto folder = *data / "golden/jpeg_decode";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jpg") continue;
    auto expected = entry.path();
    CHECK(pixels_of(test::content(entry.path()), 3) == npy_pixels(test::content(expected.replace_extension(".npy"))));
    ++files;
  }
  CHECK(files > 0);
}

TEST_CASE("decode: a grey JPEG has equal channels") {
  const std::string file = grey_jpeg({10, 20, 30, 40}, 2, 2);
  const auto grey = pixels_of(file, 1);
  const auto colour = pixels_of(file, 3);
  REQUIRE(grey.size() == 4);
  for (size_t i = 0; i < colour.size(); ++i) CHECK(colour[i] == grey[i / 3]);
}

TEST_CASE("decode: colour becomes luma when one channel is asked") {
  const std::string file = png({255, 0, 0, 0, 255, 0, 0, 0, 255}, 3, 1, 8, SPNG_COLOR_TYPE_TRUECOLOR);
  CHECK(pixels_of(file, 1) == std::vector<uint8_t>{76, 150, 29});
}

TEST_CASE("decode: CMYK samples are taken as inverted") {
  // 8 x 8 equal pixels at quality 100 keep their value. Here 255 means no ink.
  const auto fill = [](std::array<uint8_t, 4> ink) {
    std::vector<uint8_t> pixels;
    for (int i = 0; i < 64; ++i) pixels.insert(pixels.end(), ink.begin(), ink.end());
    return test::jpeg_file(pixels, {.width = 8, .height = 8, .samples = JCS_CMYK, .colors = JCS_YCCK, .quality = 100});
  };
  const auto first = [](const std::vector<uint8_t>& rgb) { return std::vector<uint8_t>(rgb.begin(), rgb.begin() + 3); };
  CHECK(first(pixels_of(fill({255, 255, 255, 255}), 3)) == std::vector<uint8_t>{255, 255, 255});
  CHECK(first(pixels_of(fill({255, 255, 255, 0}), 3)) == std::vector<uint8_t>{0, 0, 0});
  const auto red = first(pixels_of(fill({255, 0, 0, 255}), 3));
  CHECK(red[0] >= 253);
  CHECK(red[1] <= 2);
  CHECK(red[2] <= 2);
  const auto half = first(pixels_of(fill({255, 255, 255, 128}), 3));
  for (const uint8_t value : half) CHECK(std::abs(value - 128) <= 1);
}

TEST_CASE("decode: PNG of every kind") {
  using Pixels = std::vector<uint8_t>;
  CHECK(pixels_of(grey_png({1, 2, 3, 4}, 2, 2), 1) == Pixels{1, 2, 3, 4});
  CHECK(pixels_of(grey_png({1, 2}, 2, 1), 3) == Pixels{1, 1, 1, 2, 2, 2});

  const std::string alpha = png({9, 8, 7, 0}, 1, 1, 8, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA);
  CHECK(pixels_of(alpha, 3) == Pixels{9, 8, 7});
  const std::string grey_alpha = png({9, 0}, 1, 1, 8, SPNG_COLOR_TYPE_GRAYSCALE_ALPHA);
  CHECK(pixels_of(grey_alpha, 1) == Pixels{9});

  uint16_t deep[3] = {0x1234, 0xABCD, 0xFFFF};  // the encoder takes host order
  Pixels samples(sizeof deep);
  std::memcpy(samples.data(), deep, sizeof deep);
  CHECK(pixels_of(png(samples, 1, 1, 16, SPNG_COLOR_TYPE_TRUECOLOR), 3) == Pixels{0x12, 0xAB, 0xFF});
  CHECK(pixels_of(png(samples, 3, 1, 16, SPNG_COLOR_TYPE_GRAYSCALE), 1) == Pixels{0x12, 0xAB, 0xFF});

  spng_plte palette{};
  palette.n_entries = 2;
  palette.entries[1] = {.red = 50, .green = 60, .blue = 70, .alpha = 0};
  CHECK(pixels_of(png({1, 0}, 2, 1, 8, SPNG_COLOR_TYPE_INDEXED, &palette), 3) == Pixels{50, 60, 70, 0, 0, 0});
}

TEST_CASE("decode: content decides, not the name") {
  const std::string photo = test::content(test::one_photo);
  CHECK(decode(span_of(photo), 3, "photo.png").has_value());
}

TEST_CASE("decode: a truncated file is a problem that names it") {
  const std::string photo = test::content(test::one_photo);
  REQUIRE(photo.size() > 1000);
  for (const size_t size :
       {photo.size() - 2, photo.size() * 9 / 10, photo.size() / 2, size_t{200}, size_t{20}, size_t{3}}) {
    const auto result = decode(span_of(photo.substr(0, size)), 3, "cat.jpg");
    INFO(size);
    REQUIRE_FALSE(result.has_value());
    CHECK_THAT(result.problem().text(), Contains("cat.jpg: truncated or corrupt JPEG image ("));
  }
  const std::string square = grey_png(std::vector<uint8_t>(4096, 7), 64, 64);
  for (size_t size = 8; size < square.size() - 24; ++size) {  // only checksums follow the last pixel
    const auto result = decode(span_of(square.substr(0, size)), 3, "cat.png");
    INFO(size);
    REQUIRE_FALSE(result.has_value());
    CHECK_THAT(result.problem().text(), Contains("cat.png: truncated or corrupt PNG image ("));
  }
}

TEST_CASE("decode: damaged bytes never crash") {
  std::string photo = test::content(test::one_photo);
  uint32_t state = 1;
  for (int round = 0; round < 60; ++round) {
    std::string damaged = photo;
    for (int i = 0; i < 20; ++i) {
      state = state * 1664525u + 1013904223u;
      damaged[(state >> 8) % (round % 2 == 0 ? damaged.size() : size_t{700})] = static_cast<char>(state >> 24);
    }
    const auto result = decode(span_of(damaged), 3, "x");
    if (result) CHECK(result->pixels.size() == static_cast<size_t>(result->width * result->height * 3));
    const auto middle = [](int64_t width, int64_t height) {
      return Rectangle{width / 3, height / 3, (width + 2) / 3, (height + 2) / 3};
    };
    const auto part = decode_part(span_of(damaged), 3, "x", middle);
    if (part) CHECK(part->pixels.size() == static_cast<size_t>(part->width * part->height * 3));
  }
}

TEST_CASE("decode: stray bytes before the end marker do no harm") {
  std::string photo = test::content(test::one_photo);
  REQUIRE(photo.substr(photo.size() - 2) == "\xFF\xD9");
  const auto pixels = pixels_of(photo, 3);
  photo.insert(photo.size() - 2, 4, '\0');
  CHECK(pixels_of(photo, 3) == pixels);
}

namespace {

/// Noise with broad strokes under it, so that neighbours differ in brightness and in colour.
std::vector<uint8_t> busy_samples(int width, int height, int channels) {
  std::vector<uint8_t> samples;
  uint32_t state = 7;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        state = state * 1664525u + 1013904223u;
        samples.push_back(static_cast<uint8_t>((x * (3 + c) + y * (5 - c)) % 160 + (state >> 25) % 96));
      }
    }
  }
  return samples;
}

test::JpegKind sampled(int across, int down) { return {.across = across, .down = down}; }

/// Every kind of file that is decoded in a way of its own.
std::vector<test::JpegKind> jpeg_kinds() {
  std::vector<test::JpegKind> kinds{sampled(1, 1), sampled(2, 1), sampled(2, 2), sampled(1, 2),
                                    sampled(4, 1), sampled(4, 2), sampled(1, 4)};
  kinds.push_back({.samples = JCS_GRAYSCALE, .colors = JCS_GRAYSCALE});
  kinds.push_back({.colors = JCS_RGB});
  kinds.push_back({.samples = JCS_CMYK, .colors = JCS_CMYK});
  kinds.push_back({.samples = JCS_CMYK, .colors = JCS_YCCK, .across = 2, .down = 2});
  kinds.push_back({.across = 2, .down = 2, .restart_interval = 3});
  kinds.push_back({.across = 2, .down = 2, .is_progressive = true});
  kinds.push_back({.across = 2, .down = 1, .is_in_scans = true});
  return kinds;
}

void check_part(const std::string& file, const Image& whole, const Rectangle& part) {
  INFO(part.width << " x " << part.height << " at " << part.left << ", " << part.top << " of " << whole.width << " x "
                  << whole.height);
  const auto choose = [&](int64_t width, int64_t height) {
    CHECK(width == whole.width);
    CHECK(height == whole.height);
    return part;
  };
  const Image image = decode_part(span_of(file), whole.channels, "x", choose).value_or_throw();
  CHECK(image.width == part.width);
  REQUIRE(image.pixels == crop(whole, part).pixels);
}

}  // namespace

TEST_CASE("decode: a part has the bits of the whole") {
  for (const auto& [width, height] : std::vector<std::pair<int, int>>{{1, 1}, {7, 40}, {67, 5}, {97, 71}, {128, 64}}) {
    for (auto kind : jpeg_kinds()) {
      kind.width = width;
      kind.height = height;
      const int channels = kind.samples == JCS_CMYK ? 4 : kind.samples == JCS_GRAYSCALE ? 1 : 3;
      const std::string file = test::jpeg_file(busy_samples(width, height, channels), kind);
      INFO("sampled " << kind.across << " x " << kind.down << ", colours " << kind.colors << ", progressive "
                      << kind.is_progressive << ", in scans " << kind.is_in_scans << ", restarts "
                      << kind.restart_interval);
      const Image whole = decode(span_of(file), 3, "x").value_or_throw();
      check_part(file, whole, {0, 0, width, height});
      check_part(file, whole, {width - 1, height - 1, 1, 1});
      check_part(file, whole, {0, 0, 1, 1});
      RandomStream random = Draw{.seed = 5}.stream(static_cast<uint32_t>(width));
      for (int i = 0; i < 40; ++i) {
        const int64_t part_width = random.integer(1, width), part_height = random.integer(1, height);
        check_part(
            file, whole,
            {random.integer(0, width - part_width), random.integer(0, height - part_height), part_width, part_height});
      }
    }
  }
}

TEST_CASE("decode: a part of a photo has the bits of the whole") {
  const std::string photo = test::content(test::one_photo);
  const Image whole = decode(span_of(photo), 3, "x").value_or_throw();
  RandomStream random = Draw{.seed = 6}.stream(1);
  for (int i = 0; i < 30; ++i) {
    const int64_t width = random.integer(1, whole.width), height = random.integer(1, whole.height);
    check_part(photo, whole,
               {random.integer(0, whole.width - width), random.integer(0, whole.height - height), width, height});
  }
}

TEST_CASE("decode: a part of a PNG") {
  const std::string file = png(busy_samples(9, 7, 3), 9, 7, 8, SPNG_COLOR_TYPE_TRUECOLOR);
  check_part(file, decode(span_of(file), 3, "x").value_or_throw(), {2, 1, 5, 6});
}

TEST_CASE("decode: a part that does not lie inside is refused") {
  const std::string photo = test::content(test::one_photo);
  const auto beyond = [](int64_t width, int64_t height) { return Rectangle{1, 0, width, height}; };
  CHECK_THROWS_AS(decode_part(span_of(photo), 3, "x", beyond), ContractError);
}

TEST_CASE("decode: a truncated file is a problem for every part of it") {
  const std::string photo = test::content(test::one_photo);
  const auto top = [](int64_t width, int64_t) { return Rectangle{0, 0, width, 8}; };
  REQUIRE(decode_part(span_of(photo), 3, "cat.jpg", top));
  for (const size_t size : {photo.size() - 2, photo.size() / 2, size_t{1000}, size_t{20}}) {
    const auto result = decode_part(span_of(photo.substr(0, size)), 3, "cat.jpg", top);
    INFO(size);
    REQUIRE_FALSE(result.has_value());
    CHECK_THAT(result.problem().text(), Contains("cat.jpg: truncated or corrupt JPEG image ("));
  }
}

TEST_CASE("decode: damage is seen by the parts that it reaches") {
  const std::string photo = test::content(test::one_photo);
  const std::string damaged = photo.substr(0, photo.size() / 2) + "\xFF\xD9";
  const auto rows = [&](int64_t first, int64_t count) {
    return decode_part(span_of(damaged), 3, "cat.jpg", [=](int64_t width, int64_t) {
      return Rectangle{0, first, width, count};
    });
  };
  const Image whole = decode(span_of(photo), 3, "x").value_or_throw();
  CHECK(rows(0, 8).value_or_throw().pixels == crop(whole, 0, 0, whole.width, 8).pixels);
  CHECK_FALSE(rows(0, whole.height).has_value());
  CHECK_FALSE(rows(whole.height - 8, 8).has_value());
}

TEST_CASE("decode: dimensions are bounded before memory is taken") {
  std::string huge = grey_png({1}, 1, 1);
  huge.replace(16, 4, std::string("\x00\x02\x00\x00", 4));  // width 131072; the checksum is wrong then, too
  CHECK_FALSE(decode(span_of(huge), 3, "x").has_value());
  std::string photo = grey_jpeg(std::vector<uint8_t>(64, 5), 8, 8);
  const size_t frame = photo.find("\xFF\xC0");
  REQUIRE(frame != std::string::npos);
  photo.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");  // 65500 x 65500
  const auto result = decode(span_of(photo), 3, "bomb.jpg");
  REQUIRE_FALSE(result.has_value());
  CHECK_THAT(
      result.problem().text(),
      Contains("bomb.jpg: expected an image of at most 65500 pixels a side and 268435456 in all, got 65500 x 65500"));
}

TEST_CASE("decode: other files are named as such") {
  CHECK(decode({}, 3, "a").problem().text() == "a: expected an image, got an empty file.");
  CHECK(decode(span_of("GIF89a.."), 3, "a").problem().text() ==
        "a: expected a JPEG or PNG image, got something else. Convert the file to one of them.");
}
