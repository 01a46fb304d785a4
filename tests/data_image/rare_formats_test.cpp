#include "unireplk/data/image/rare_formats.h"

#include <span>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/data/image/decode.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;

/// What of a test a build with imgcodecs, or one without, cannot do.
bool skipped(bool needs_imgcodecs) {
  if ((readable_formats().size() > 2) == needs_imgcodecs) return false;
  WARN("skipped: this build has " << (needs_imgcodecs ? "no " : "") << "imgcodecs");
  return true;
}

Result<Image> decode_text(const std::string& file, int64_t channels = 3) {
  return decode(std::as_bytes(std::span(file)), channels, "a");
}

Pixels decoded(const std::string& file, int64_t channels = 3) {
  return decode_text(file, channels).value_or_throw().pixels;
}

std::string message_of(const std::string& file) {
  const auto image = decode_text(file);
  return image ? "decoded" : image.problem().text();
}

std::string number(uint64_t value, int width, bool big = false) {
  std::string out;
  for (int i = 0; i < width; ++i) out += static_cast<char>(value >> 8 * (big ? width - 1 - i : i) & 0xff);
  return out;
}

std::string text_of(const Pixels& bytes) { return {bytes.begin(), bytes.end()}; }

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

/// Rows lie upside down, padded to four bytes, blue first.
std::string bmp(int32_t width, int32_t height, int bits, const std::string& palette, const std::string& rows) {
  const uint64_t data = 54 + palette.size();
  return "BM" + number(data + rows.size(), 4) + number(0, 4) + number(data, 4) + number(40, 4) +
         number(static_cast<uint32_t>(width), 4) + number(static_cast<uint32_t>(height), 4) + number(1, 2) +
         number(static_cast<uint64_t>(bits), 2) + number(0, 4) + number(rows.size(), 4) + number(0, 8) +
         number(palette.size() / 4, 4) + number(0, 4) + palette + rows;
}

struct TiffImage {
  uint32_t width, height;
  int bits, samples;
  std::string data;
  bool big = false;      ///< byte order
  int photometric = -1;  ///< -1: RGB or black is zero
  int alpha = -1;        ///< 1: colours are multiplied by it, 2: they are not
};

std::string tiff(const TiffImage& image) {
  const auto n = [&](uint64_t value, int width) { return number(value, width, image.big); };
  const int photometric = image.photometric >= 0 ? image.photometric : image.samples >= 3 ? 2 : 1;
  std::vector<std::pair<uint64_t, uint64_t>> tags{{256, image.width},
                                                  {257, image.height},
                                                  {258, static_cast<uint64_t>(image.bits)},
                                                  {259, 1},
                                                  {262, static_cast<uint64_t>(photometric)},
                                                  {273, 8},
                                                  {277, static_cast<uint64_t>(image.samples)},
                                                  {278, image.height},
                                                  {279, image.data.size()}};
  if (image.alpha >= 0) tags.emplace_back(338, image.alpha);
  std::string data = image.data;
  data.resize((data.size() + 1) / 2 * 2, '\0');
  const size_t bits_at = 8 + data.size();
  for (int i = 0; i < image.samples; ++i) data += n(static_cast<uint64_t>(image.bits), 2);
  std::string directory = n(tags.size(), 2);
  for (const auto& [tag, value] : tags) {
    const bool is_long = tag == 256 || tag == 257 || tag == 273 || tag == 278 || tag == 279;
    if (tag == 258 && image.samples > 2) {  // a value for each sample, which does not fit in here
      directory += n(tag, 2) + n(3, 2) + n(static_cast<uint64_t>(image.samples), 4) + n(bits_at, 4);
    } else {
      directory += n(tag, 2) + n(is_long ? 4 : 3, 2) + n(1, 4) + (is_long ? n(value, 4) : n(value, 2) + n(0, 2));
    }
  }
  return (image.big ? std::string("MM") : std::string("II")) + n(42, 2) + n(8 + data.size(), 4) + data + directory +
         n(0, 4);
}

const Pixels kSix{255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 20, 30, 40, 50, 60, 70, 80, 90};
const std::string kWebp = from_hex(
    "5249464642000000574542505650384c350000002f024000002f40986db439dc7bfe96a7212420741ffc7f8920db6617a9bfe5e73fe0cf7826"
    "4501856c23c0a17b054ee922fa1fc30b00");
const std::string kWebpAlpha = from_hex(
    "5249464642000000574542505650384c350000002f024000102f40986db439dc7bfe96a7212420741ffc7f8920db6617a9bfe50730e0cf7826"
    "4501856c23c0a17b054ee922fa1fc30b00");
const std::string kPpm = "P6\n# a comment\n3 2\n255\n" + text_of(kSix);
const std::string kBmp =
    bmp(3, 2, 24, "", text_of({30, 20, 10, 60, 50, 40, 90, 80, 70, 0, 0, 0, 0, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0}));
const std::string kTiff = tiff({3, 2, 8, 3, text_of(kSix)});

}  // namespace

TEST_CASE("rare formats: a build without imgcodecs names the format and the cure") {
  if (skipped(false)) return;
  const std::string cure =
      ", which this build cannot read. Convert it to PNG, or install libopencv-imgcodecs-dev and build";
  CHECK_THAT(message_of(kBmp), Contains("a: a BMP image" + cure));
  CHECK_THAT(message_of(kPpm), Contains("a: a PPM or PGM image" + cure));
  CHECK_THAT(message_of(kTiff), Contains("a: a TIFF image" + cure));
  CHECK_THAT(message_of(kWebp), Contains("a: a WebP image" + cure));
  CHECK(readable_formats() == std::vector<std::string>{"JPEG", "PNG"});
}

TEST_CASE("rare formats: each gives the pixels it holds") {
  if (skipped(true)) return;
  CHECK(decoded(kBmp) == kSix);
  CHECK(decoded(kPpm) == kSix);
  CHECK(decoded(kTiff) == kSix);
  CHECK(decoded(kWebp) == kSix);
  CHECK(decoded(tiff({3, 2, 8, 3, text_of(kSix), /*big=*/true})) == kSix);
  CHECK(decode_text(kWebp, 3).value_or_throw().width == 3);
}

TEST_CASE("rare formats: a part has the pixels of the whole") {
  if (skipped(/*needs_imgcodecs=*/true)) return;
  const std::string file = "P5 3 2 255\nabcdef";
  auto part = decode_part(std::as_bytes(std::span(file)), 1, "a", [](int64_t width, int64_t height) {
    return Rectangle{.left = 1, .top = 1, .width = width - 1, .height = height - 1};
  });
  CHECK(text_of(std::move(part).value_or_throw().pixels) == "ef");
}

TEST_CASE("rare formats: grey, palettes, 16 bits and transparency") {
  if (skipped(true)) return;
  CHECK(decoded("P5 2 1 255\n" + text_of({7, 9}), 1) == Pixels{7, 9});
  CHECK(decoded("P5 2 1 255\n" + text_of({7, 9}), 3) == Pixels{7, 7, 7, 9, 9, 9});
  CHECK(decoded("P2\n2 1\n255\n7 9\n", 1) == Pixels{7, 9});
  CHECK(decoded("P5 2 1 65535\n" + text_of({0x12, 0xff, 0xab, 0x00}), 1) == Pixels{0x12, 0xab});
  CHECK(decoded("P6 1 1 65535\n" + text_of({1, 9, 2, 9, 3, 9})) == Pixels{1, 2, 3});
  CHECK(decoded(bmp(2, 1, 8, text_of({1, 2, 3, 0, 4, 5, 6, 0}), text_of({1, 0, 0, 0}))) == Pixels{6, 5, 4, 3, 2, 1});
  CHECK(decoded(bmp(1, -2, 24, "", text_of({3, 2, 1, 0, 6, 5, 4, 0}))) == Pixels{1, 2, 3, 4, 5, 6});
  CHECK(decoded(bmp(1, 1, 32, "", text_of({3, 2, 1, 9}))) == Pixels{1, 2, 3});
  CHECK(decoded(tiff({2, 1, 8, 1, text_of({7, 9})}), 1) == Pixels{7, 9});
  CHECK(decoded(tiff({2, 1, 16, 1, text_of({0xff, 0x12, 0x00, 0xab})}), 1) == Pixels{0x12, 0xab});
  CHECK(decoded(tiff({1, 1, 16, 3, text_of({9, 1, 9, 2, 9, 3})})) == Pixels{1, 2, 3});
  CHECK(decoded(kWebpAlpha) == kSix);
}

TEST_CASE("rare formats: of a TIFF image's transparency nothing is left in its colours") {
  if (skipped(true)) return;
  TiffImage image{1, 1, 8, 4, text_of({100, 200, 50, 128})};
  image.alpha = 1;
  CHECK(decoded(tiff(image)) == Pixels{100, 200, 50});
  image.alpha = 2;
  CHECK_THAT(message_of(tiff(image)), Contains("would darken its colours. Convert the file to PNG."));
  image.bits = 16;
  image.data = text_of({9, 100, 9, 200, 9, 50, 9, 128});
  CHECK(decoded(tiff(image)) == Pixels{100, 200, 50});
}

TEST_CASE("rare formats: a file cut short is a problem that names it") {
  if (skipped(true)) return;
  for (const auto& [name, file] : {std::pair{"BMP", kBmp}, {"PPM or PGM", kPpm}, {"TIFF", kTiff}, {"WebP", kWebp}}) {
    for (size_t size = 30; size < file.size() - 4; ++size) {
      INFO(name << " of " << size << " bytes");
      CHECK_THAT(message_of(file.substr(0, size)), Contains(std::string("a: truncated or corrupt ") + name + " image"));
    }
    for (size_t size = 4; size < 30; ++size) CHECK_FALSE(decode_text(file.substr(0, size)).has_value());
  }
}

TEST_CASE("rare formats: dimensions are bounded before anything is decoded") {
  if (skipped(true)) return;
  const std::string words = "at most 65500 pixels a side";
  CHECK_THAT(message_of("P6 70000 70000 255\n"), Contains(words));
  CHECK_THAT(message_of(bmp(65000, 65000, 24, "", "")), Contains(words));
  CHECK_THAT(message_of(tiff({60000, 60000, 8, 3, ""})), Contains(words));
  std::string huge = kWebp;
  huge.replace(21, 4, "\xff\xff\xff\x0f");  // 16384 x 16384
  CHECK_THAT(message_of(huge), !Contains("decoded"));
  CHECK_THAT(message_of("P6 0 5 255\n"), Contains(words));
}

TEST_CASE("rare formats: damaged bytes never crash") {
  if (skipped(true)) return;
  uint32_t state = 1;
  for (const auto& original : {kBmp, kPpm, kTiff, kWebp}) {
    for (int round = 0; round < 300; ++round) {
      std::string damaged = original;
      for (int i = 0; i < 3; ++i) {
        state = state * 1664525u + 1013904223u;
        damaged[(state >> 8) % damaged.size()] = static_cast<char>(state >> 24);
      }
      const auto image = decode_text(damaged);
      if (image) CHECK(image->pixels.size() == static_cast<size_t>(image->width * image->height * 3));
    }
  }
}

}  // namespace unireplk::data::image
