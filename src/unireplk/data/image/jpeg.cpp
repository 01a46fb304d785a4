#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "unireplk/data/image/decoders.h"
#include "unireplk/data/image/jpeg_decompressor.h"

namespace unireplk::data::image {
namespace {

Problem corrupt(const std::string& place, std::string_view reason) {
  return {place, format("truncated or corrupt JPEG image ({})", reason), "Replace the file."};
}

/// What the library shall make of the file's colours.
void choose_colors(jpeg_decompress_struct& state) {
  const auto in = state.jpeg_color_space;
  const bool is_cmyk = in == JCS_CMYK || in == JCS_YCCK;
  state.out_color_space = in == JCS_GRAYSCALE ? JCS_GRAYSCALE : is_cmyk ? JCS_CMYK : JCS_RGB;
  state.dct_method = JDCT_ISLOW;
}

/// Samples of a pixel as the library gives them.
int64_t samples_of(const jpeg_decompress_struct& state) {
  const auto in = state.jpeg_color_space;
  return in == JCS_GRAYSCALE ? 1 : in == JCS_CMYK || in == JCS_YCCK ? 4 : 3;
}

/// Rows from the library's next one on, dense.
void read_rows(jpeg_decompress_struct& state, int64_t rows, int64_t row_bytes, uint8_t* to) {
  constexpr int64_t kMostRows = 16;
  std::array<JSAMPROW, kMostRows> pointers;
  while (rows > 0) {
    const int64_t wanted = std::min(rows, kMostRows);
    for (int64_t i = 0; i < wanted; ++i) pointers[static_cast<size_t>(i)] = to + i * row_bytes;
    const int64_t read = jpeg_read_scanlines(&state, pointers.data(), static_cast<JDIMENSION>(wanted));
    rows -= read;
    to += read * row_bytes;
  }
}

void read_whole(jpeg_decompress_struct& state, uint8_t* to) {
  choose_colors(state);
  jpeg_start_decompress(&state);
  read_rows(state, state.output_height, state.output_width * samples_of(state), to);
  jpeg_finish_decompress(&state);
}

/// Whether the library can skip what is around a part: with several scans it would have to keep all anyway.
bool can_skip(const jpeg_decompress_struct& header) {
  return header.progressive_mode == 0 && header.comps_in_scan == header.num_components;
}

/// Columns beside a part that are decoded with it: smooth chroma upsampling looks at one sample beside, which may stand
/// for two columns, and takes the edge of what is decoded for that of the image.
constexpr int64_t kBeside = 2;

/// Columns that are decoded for a part.
struct Columns {
  Columns(const Rectangle& part, int64_t image_width)
      : first(static_cast<JDIMENSION>(std::max<int64_t>(part.left - kBeside, 0))),
        count(static_cast<JDIMENSION>(std::min(part.left + part.width + kBeside, image_width) - first)) {}
  JDIMENSION first, count;
};

/// \param row  room for a row of the whole image.
void read_part(jpeg_decompress_struct& state, const Rectangle& part, uint8_t* row, uint8_t* to) {
  choose_colors(state);
  const int64_t samples = samples_of(state);
  jpeg_start_decompress(&state);
  Columns columns(part, state.output_width);
  if (columns.count < state.output_width) jpeg_crop_scanline(&state, &columns.first, &columns.count);
  if (part.top > 0) jpeg_skip_scanlines(&state, static_cast<JDIMENSION>(part.top));
  const uint8_t* wanted = row + (part.left - columns.first) * samples;
  for (int64_t y = 0; y < part.height; ++y, to += part.width * samples) {
    jpeg_read_scanlines(&state, &row, 1);
    std::memcpy(to, wanted, static_cast<size_t>(part.width * samples));
  }
}

/// The end of the image. Its data cannot look like it: in them a zero or a restart follows every FF.
bool has_end_marker(const jpeg_decompress_struct& state) {
  if (state.unread_marker == JPEG_EOI) return true;
  constexpr std::array<uint8_t, 2> kEnd{0xFF, JPEG_EOI};
  const JOCTET* begin = state.src->next_input_byte;
  const JOCTET* end = begin + state.src->bytes_in_buffer;
  return std::find_end(begin, end, kEnd.begin(), kEnd.end()) != end;  // from behind: there it is found at once
}

/// \return false when the file ends too soon.
bool finish_part(jpeg_decompress_struct& state) {
  if (state.output_scanline < state.output_height) return has_end_marker(state);
  jpeg_finish_decompress(&state);
  return true;
}

uint8_t multiply(unsigned a, unsigned b) {
  const unsigned t = a * b + 128;
  return static_cast<uint8_t>(((t >> 8) + t) >> 8);
}

/// spec/image.md section 2: every sample lies inverted in the file, so 255 - K is the sample itself.
Image rgb_of_inverted_cmyk(const Pixels& cmyk, int64_t width, int64_t height) {
  Image image = Image::sized(width, height, 3, cmyk.get_allocator());
  for (size_t i = 0; i < cmyk.size() / 4; ++i) {
    const int white = cmyk[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int ink = multiply(255u - cmyk[4 * i + c], static_cast<unsigned>(white));
      image.pixels[3 * i + c] = static_cast<uint8_t>(std::clamp(white - ink, 0, 255));
    }
  }
  return image;
}

}  // namespace

Result<Image> decode_jpeg(std::span<const std::byte> file, const std::string& place, const ChoosePart& choose,
                          PixelAllocator where) {
  JpegDecompressor jpeg;
  if (!jpeg.read_header(file)) return corrupt(place, jpeg.reason());
  const auto& header = jpeg.state();
  const int64_t width = header.image_width, height = header.image_height, samples = samples_of(header);
  if (auto problem = check_dimensions(width, height, place)) return *std::move(problem);
  if (header.jpeg_color_space == JCS_UNKNOWN) return corrupt(place, "colours of an unknown kind");

  const Rectangle whole{.left = 0, .top = 0, .width = width, .height = height};
  const Rectangle part = choose ? choose(width, height) : whole;
  check_inside(part, width, height);
  const bool skips = part != whole && can_skip(header);
  const Rectangle& read = skips ? part : whole;
  Pixels pixels(static_cast<size_t>(read.width * read.height * samples), where);
  Pixels row(skips ? static_cast<size_t>(width * samples) : 0, where);
  bool has_end = true;
  const bool is_good = jpeg.run([&](jpeg_decompress_struct& state) {
    if (skips) {
      read_part(state, part, row.data(), pixels.data());
      has_end = finish_part(state);
    } else {
      read_whole(state, pixels.data());
    }
  });
  if (!is_good) return corrupt(place, jpeg.reason());
  if (!has_end) return corrupt(place, "no end marker");
  Image image = samples == 4 ? rgb_of_inverted_cmyk(pixels, read.width, read.height)
                             : Image{read.width, read.height, samples, std::move(pixels)};
  return skips || part == whole ? std::move(image) : crop(image, part);
}

}  // namespace unireplk::data::image
