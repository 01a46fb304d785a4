#include "unireplk/data/image/rare_formats.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#if UNIREPLK_IMGCODECS
#include <opencv2/imgcodecs.hpp>
#endif

#include "unireplk/data/image/decoders.h"
#include "unireplk/formats/byte_order.h"

namespace unireplk::data::image {
namespace {

using FileBytes = std::span<const std::byte>;

std::string_view name_of(RareFormat kind) {
  constexpr std::array<std::string_view, 4> kNames{"BMP", "PPM or PGM", "TIFF", "WebP"};
  return kNames[static_cast<size_t>(kind)];
}

std::string_view text_at(FileBytes file, size_t at, size_t count) {
  if (file.size() < at + count) return {};
  return {reinterpret_cast<const char*>(file.data()) + at, count};
}

}  // namespace

std::optional<RareFormat> rare_format_of(FileBytes file) {
  const auto first = text_at(file, 0, 4);
  if (first.starts_with("BM")) return RareFormat::kBmp;
  if (first == std::string_view("II*\0", 4) || first == std::string_view("MM\0*", 4)) return RareFormat::kTiff;
  if (first == "RIFF" && text_at(file, 8, 4) == "WEBP") return RareFormat::kWebp;
  const bool is_pnm =
      first.size() > 2 && first[0] == 'P' && std::string_view("2356").find(first[1]) != std::string::npos;
  if (is_pnm && std::string_view(" \t\r\n#").find(first[2]) != std::string::npos) return RareFormat::kPnm;
  return std::nullopt;
}

#if UNIREPLK_IMGCODECS
namespace {

/// Width and height as a header has them; nothing when it has none.
using Size = std::optional<std::pair<int64_t, int64_t>>;

uint32_t little(FileBytes file, size_t at, size_t width) {
  return static_cast<uint32_t>(formats::little_endian(file.subspan(at, width)));
}

Size bmp_size(FileBytes file) {
  if (file.size() < 26) return std::nullopt;
  if (little(file, 14, 4) == 12) return std::pair<int64_t, int64_t>{little(file, 18, 2), little(file, 20, 2)};
  const auto height = static_cast<int32_t>(little(file, 22, 4));  // negative: rows from top to bottom
  return std::pair<int64_t, int64_t>{static_cast<int32_t>(little(file, 18, 4)), std::abs(int64_t{height})};
}

/// A number behind blanks and comments, which are taken off the text with it.
std::optional<int64_t> pnm_number(std::string_view& text) {
  while (!text.empty() && (text.front() < '0' || text.front() > '9')) {
    const size_t skipped = text.front() == '#' ? text.find('\n') : 1;
    text.remove_prefix(std::min(skipped, text.size()));
  }
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

Size pnm_size(FileBytes file) {
  std::string_view text(reinterpret_cast<const char*>(file.data()) + 2, file.size() - 2);
  const auto width = pnm_number(text), height = pnm_number(text);
  if (!width || !height) return std::nullopt;
  return std::pair{*width, *height};
}

/// Reads numbers of a TIFF file, in its byte order.
struct TiffNumbers {
  FileBytes file;
  bool big;

  std::optional<uint32_t> at(size_t place, size_t width) const {
    if (place > file.size() || file.size() - place < width) return std::nullopt;
    const auto bytes = file.subspan(place, width);
    return big ? formats::big_endian(bytes) : static_cast<uint32_t>(formats::little_endian(bytes));
  }
};

/// The first value of a tag in the first directory.
std::optional<uint32_t> tiff_tag(FileBytes file, uint32_t tag) {
  const TiffNumbers numbers{file, file.front() == std::byte{'M'}};
  const auto directory = numbers.at(4, 4);
  if (!directory) return std::nullopt;
  const auto count = numbers.at(*directory, 2).value_or(0);
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = size_t{*directory} + 2 + 12 * i;
    if (numbers.at(entry, 2) != tag) continue;
    const auto type = numbers.at(entry + 2, 2);
    if (type != 3 && type != 4) continue;
    const size_t width = type == 3 ? 2 : 4;
    const bool is_here = width * numbers.at(entry + 4, 4).value_or(0) <= 4;  // else the entry says where
    const auto place = is_here ? std::optional<size_t>(entry + 8) : std::optional<size_t>(numbers.at(entry + 8, 4));
    return place ? numbers.at(*place, width) : std::nullopt;
  }
  return std::nullopt;
}

Size tiff_size(FileBytes file) {
  constexpr uint32_t kWidth = 256, kLength = 257;
  const auto width = tiff_tag(file, kWidth), height = tiff_tag(file, kLength);
  if (!width || !height) return std::nullopt;
  return std::pair<int64_t, int64_t>{*width, *height};
}

/// Whether colours are stored as they are beside an alpha of 8 bits: libtiff multiplies them by it.
bool darkens(RareFormat kind, FileBytes file) {
  constexpr uint32_t kBits = 258, kExtraSamples = 338, kStraightAlpha = 2;
  return kind == RareFormat::kTiff && tiff_tag(file, kExtraSamples) == kStraightAlpha &&
         tiff_tag(file, kBits).value_or(8) <= 8;
}

Size webp_size(FileBytes file) {
  if (file.size() < 30) return std::nullopt;
  const auto chunk = text_at(file, 12, 4);
  if (chunk == "VP8 ") return std::pair<int64_t, int64_t>{little(file, 26, 2) & 0x3fff, little(file, 28, 2) & 0x3fff};
  if (chunk == "VP8L") {
    const uint32_t sizes = little(file, 21, 4);
    return std::pair<int64_t, int64_t>{(sizes & 0x3fff) + 1, (sizes >> 14 & 0x3fff) + 1};
  }
  if (chunk == "VP8X") return std::pair<int64_t, int64_t>{little(file, 24, 3) + 1, little(file, 27, 3) + 1};
  return std::nullopt;
}

Size size_of(RareFormat kind, FileBytes file) {
  switch (kind) {
    case RareFormat::kBmp:
      return bmp_size(file);
    case RareFormat::kPnm:
      return pnm_size(file);
    case RareFormat::kTiff:
      return tiff_size(file);
    case RareFormat::kWebp:
      return webp_size(file);
  }
  return std::nullopt;
}

/// The pixels as they lie in the file; empty when they cannot be decoded.
cv::Mat pixels_in(FileBytes file) {
  const cv::Mat bytes(1, static_cast<int>(file.size()), CV_8UC1, const_cast<std::byte*>(file.data()));
  try {
    return cv::imdecode(bytes, cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception&) {
    return {};
  }
}

/// Grey, or RGB out of BGR with or without alpha; of 16 bits the upper 8.
template <class Sample>
Image image_of(const cv::Mat& pixels, int shift) {
  const int64_t given = pixels.channels();
  Image image = Image::zeros(pixels.cols, pixels.rows, given == 1 ? 1 : 3);
  for (int y = 0; y < pixels.rows; ++y) {
    const auto* in = pixels.ptr<Sample>(y);
    uint8_t* out = image.row(y);
    for (int64_t x = 0; x < image.width; ++x) {
      for (int64_t c = 0; c < image.channels; ++c) {
        out[x * image.channels + c] = static_cast<uint8_t>(in[x * given + image.channels - 1 - c] >> shift);
      }
    }
  }
  return image;
}

}  // namespace

std::vector<std::string> readable_formats() { return {"JPEG", "PNG", "BMP", "PPM", "PGM", "TIFF", "WebP"}; }

Result<Image> decode_rare(RareFormat kind, FileBytes file, const std::string& place) {
  const auto corrupt = [&] {
    return Problem{place, format("truncated or corrupt {} image", name_of(kind)), "Replace the file."};
  };
  const auto size = size_of(kind, file);
  if (!size) return corrupt();
  if (auto problem = check_dimensions(size->first, size->second, place)) return *std::move(problem);
  if (darkens(kind, file)) {
    return Problem{place, "transparency of this kind in a TIFF image would darken its colours",
                   "Convert the file to PNG."};
  }
  const cv::Mat pixels = pixels_in(file);
  if (pixels.cols != size->first || pixels.rows != size->second) return corrupt();
  const bool has_colours = pixels.channels() == 1 || pixels.channels() == 3 || pixels.channels() == 4;
  if (has_colours && pixels.depth() == CV_8U) return image_of<uint8_t>(pixels, 0);
  if (has_colours && pixels.depth() == CV_16U) return image_of<uint16_t>(pixels, 8);
  return Problem{place,
                 format("expected 1, 3 or 4 channels of 8 or 16 bits, got {} channels of {} bytes", pixels.channels(),
                        pixels.elemSize1()),
                 "Convert the file to PNG."};
}

#else

std::vector<std::string> readable_formats() { return {"JPEG", "PNG"}; }

Result<Image> decode_rare(RareFormat kind, FileBytes, const std::string& place) {
  return Problem{place, format("a {} image, which this build cannot read", name_of(kind)),
                 "Convert it to PNG, or install libopencv-imgcodecs-dev and build again."};
}

#endif

}  // namespace unireplk::data::image
