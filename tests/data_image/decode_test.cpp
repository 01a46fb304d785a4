#include "unireplk/data/image/decode.h"

#include <spng.h>
#include <turbojpeg.h>

#include <cstring>

#include "data_image/files.h"
#include "support/catch.h"

using namespace unireplk;
using namespace unireplk::data::image;
using Catch::Matchers::Contains;

namespace {

std::span<const std::byte> bytes_of(const std::string& content) { return std::as_bytes(std::span(content)); }

/// Pixels of a small .npy file: the data behind a header of known form.
std::vector<uint8_t> npy_pixels(const std::string& content) {
  const auto header = static_cast<uint8_t>(content[8]) + 256u * static_cast<uint8_t>(content[9]);
  return {content.begin() + 10 + header, content.end()};
}

/// A JPEG of raw samples: `format` and `subsampling` of TurboJPEG.
std::string jpeg(const std::vector<uint8_t>& pixels, int width, int height, int format, int subsampling) {
  tjhandle encoder = tjInitCompress();
  unsigned char* out = nullptr;
  unsigned long size = 0;
  REQUIRE(tjCompress2(encoder, pixels.data(), width, 0, height, format, &out, &size, subsampling, 100, 0) == 0);
  std::string content(reinterpret_cast<char*>(out), size);
  tjFree(out);
  tjDestroy(encoder);
  return content;
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

std::vector<uint8_t> decoded(const std::string& file, int64_t channels) {
  return decode(bytes_of(file), channels, "x").value_or_throw().pixels;
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
    CHECK(decoded(test::read_file(entry.path()), 3) == npy_pixels(test::read_file(expected.replace_extension(".npy"))));
    ++files;
  }
  CHECK(files > 0);
}

TEST_CASE("decode: a grey JPEG has equal channels") {
  const std::string file = jpeg({10, 20, 30, 40}, 2, 2, TJPF_GRAY, TJSAMP_GRAY);
  const auto grey = decoded(file, 1);
  const auto colour = decoded(file, 3);
  REQUIRE(grey.size() == 4);
  for (size_t i = 0; i < colour.size(); ++i) CHECK(colour[i] == grey[i / 3]);
}

TEST_CASE("decode: colour becomes luma when one channel is asked") {
  const std::string file = png({255, 0, 0, 0, 255, 0, 0, 0, 255}, 3, 1, 8, SPNG_COLOR_TYPE_TRUECOLOR);
  CHECK(decoded(file, 1) == std::vector<uint8_t>{76, 150, 29});
}

TEST_CASE("decode: CMYK samples are taken as inverted") {
  // 8 x 8 equal pixels at quality 100 keep their value. Here 255 means no ink.
  const auto fill = [](std::array<uint8_t, 4> ink) {
    std::vector<uint8_t> pixels;
    for (int i = 0; i < 64; ++i) pixels.insert(pixels.end(), ink.begin(), ink.end());
    return jpeg(pixels, 8, 8, TJPF_CMYK, TJSAMP_444);
  };
  const auto first = [](const std::vector<uint8_t>& rgb) { return std::vector<uint8_t>(rgb.begin(), rgb.begin() + 3); };
  CHECK(first(decoded(fill({255, 255, 255, 255}), 3)) == std::vector<uint8_t>{255, 255, 255});
  CHECK(first(decoded(fill({255, 255, 255, 0}), 3)) == std::vector<uint8_t>{0, 0, 0});
  const auto red = first(decoded(fill({255, 0, 0, 255}), 3));
  CHECK(red[0] >= 253);
  CHECK(red[1] <= 2);
  CHECK(red[2] <= 2);
  const auto half = first(decoded(fill({255, 255, 255, 128}), 3));
  for (const uint8_t value : half) CHECK(std::abs(value - 128) <= 1);
}

TEST_CASE("decode: PNG of every kind") {
  using Pixels = std::vector<uint8_t>;
  CHECK(decoded(grey_png({1, 2, 3, 4}, 2, 2), 1) == Pixels{1, 2, 3, 4});
  CHECK(decoded(grey_png({1, 2}, 2, 1), 3) == Pixels{1, 1, 1, 2, 2, 2});

  const std::string alpha = png({9, 8, 7, 0}, 1, 1, 8, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA);
  CHECK(decoded(alpha, 3) == Pixels{9, 8, 7});
  const std::string grey_alpha = png({9, 0}, 1, 1, 8, SPNG_COLOR_TYPE_GRAYSCALE_ALPHA);
  CHECK(decoded(grey_alpha, 1) == Pixels{9});

  uint16_t deep[3] = {0x1234, 0xABCD, 0xFFFF};  // the encoder takes host order
  Pixels samples(sizeof deep);
  std::memcpy(samples.data(), deep, sizeof deep);
  CHECK(decoded(png(samples, 1, 1, 16, SPNG_COLOR_TYPE_TRUECOLOR), 3) == Pixels{0x12, 0xAB, 0xFF});
  CHECK(decoded(png(samples, 3, 1, 16, SPNG_COLOR_TYPE_GRAYSCALE), 1) == Pixels{0x12, 0xAB, 0xFF});

  spng_plte palette{};
  palette.n_entries = 2;
  palette.entries[1] = {.red = 50, .green = 60, .blue = 70, .alpha = 0};
  CHECK(decoded(png({1, 0}, 2, 1, 8, SPNG_COLOR_TYPE_INDEXED, &palette), 3) == Pixels{50, 60, 70, 0, 0, 0});
}

TEST_CASE("decode: content decides, not the name") {
  const std::string photo = test::read_file(test::one_photo);
  CHECK(decode(bytes_of(photo), 3, "photo.png").has_value());
}

TEST_CASE("decode: a truncated file is a problem that names it") {
  const std::string photo = test::read_file(test::one_photo);
  REQUIRE(photo.size() > 1000);
  for (const size_t size :
       {photo.size() - 2, photo.size() * 9 / 10, photo.size() / 2, size_t{200}, size_t{20}, size_t{3}}) {
    const auto result = decode(bytes_of(photo.substr(0, size)), 3, "cat.jpg");
    INFO(size);
    REQUIRE_FALSE(result.has_value());
    CHECK_THAT(result.problem().text(), Contains("cat.jpg: truncated or corrupt JPEG image ("));
  }
  const std::string square = grey_png(std::vector<uint8_t>(4096, 7), 64, 64);
  for (size_t size = 8; size < square.size() - 24; ++size) {  // only checksums follow the last pixel
    const auto result = decode(bytes_of(square.substr(0, size)), 3, "cat.png");
    INFO(size);
    REQUIRE_FALSE(result.has_value());
    CHECK_THAT(result.problem().text(), Contains("cat.png: truncated or corrupt PNG image ("));
  }
}

TEST_CASE("decode: damaged bytes never crash") {
  std::string photo = test::read_file(test::one_photo);
  uint32_t state = 1;
  for (int round = 0; round < 60; ++round) {
    std::string damaged = photo;
    for (int i = 0; i < 20; ++i) {
      state = state * 1664525u + 1013904223u;
      damaged[(state >> 8) % (round % 2 == 0 ? damaged.size() : size_t{700})] = static_cast<char>(state >> 24);
    }
    const auto result = decode(bytes_of(damaged), 3, "x");
    if (result) CHECK(result->pixels.size() == static_cast<size_t>(result->width * result->height * 3));
  }
}

TEST_CASE("decode: stray bytes before the end marker do no harm") {
  std::string photo = test::read_file(test::one_photo);
  REQUIRE(photo.substr(photo.size() - 2) == "\xFF\xD9");
  const auto pixels = decoded(photo, 3);
  photo.insert(photo.size() - 2, 4, '\0');
  CHECK(decoded(photo, 3) == pixels);
}

TEST_CASE("decode: dimensions are bounded before memory is taken") {
  std::string huge = grey_png({1}, 1, 1);
  huge.replace(16, 4, std::string("\x00\x02\x00\x00", 4));  // width 131072; the checksum is wrong then, too
  CHECK_FALSE(decode(bytes_of(huge), 3, "x").has_value());
  std::string photo = jpeg(std::vector<uint8_t>(64, 5), 8, 8, TJPF_GRAY, TJSAMP_GRAY);
  const size_t frame = photo.find("\xFF\xC0");
  REQUIRE(frame != std::string::npos);
  photo.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");  // 65500 x 65500
  const auto result = decode(bytes_of(photo), 3, "bomb.jpg");
  REQUIRE_FALSE(result.has_value());
  CHECK_THAT(
      result.problem().text(),
      Contains("bomb.jpg: expected an image of at most 65500 pixels a side and 268435456 in all, got 65500 x 65500"));
}

TEST_CASE("decode: other files are named as such") {
  CHECK(decode({}, 3, "a").problem().text() == "a: expected an image, got an empty file.");
  CHECK(decode(bytes_of("GIF89a.."), 3, "a").problem().text() ==
        "a: expected a JPEG or PNG image, got something else. Convert the file to one of them.");
}
