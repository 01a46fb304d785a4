#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "unireplk/data/image/decoders.h"

namespace unireplk::data::image {
namespace {

struct DestroyJpeg {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using JpegDecoder = std::unique_ptr<void, DestroyJpeg>;

struct Header {
  int width = 0;
  int height = 0;
  int colorspace = -1;
};

Problem corrupt(const std::string& place, std::string_view reason) {
  return {place, format("truncated or corrupt JPEG image ({})", reason), "Replace the file."};
}

const unsigned char* data_of(std::span<const std::byte> file) {
  return reinterpret_cast<const unsigned char*>(file.data());
}

Result<Header> read_header(tjhandle decoder, std::span<const std::byte> file, const std::string& place) {
  Header header;
  int subsampling = -1;
  const int status = tjDecompressHeader3(decoder, data_of(file), file.size(), &header.width, &header.height,
                                         &subsampling, &header.colorspace);
  // Unusual subsampling is refused only after everything else has been read, and decoding does not need its
  // name.
  const bool unusual = subsampling < 0 && header.width > 0 && header.colorspace >= 0;
  if (status != 0 && !unusual) return corrupt(place, tjGetErrorStr2(decoder));
  if (header.width < 1) return corrupt(place, "no image behind the file's beginning");  // not an error of the library
  if (auto problem = check_dimensions(header.width, header.height, place)) return *std::move(problem);
  return header;
}

/// Stray bytes right before the end marker follow complete data, and photos in the wild have them. Only the
/// first warning of a file is kept, so behind this one there is no other.
bool is_harmless(tjhandle decoder) {
  return tjGetErrorCode(decoder) == TJERR_WARNING &&
         std::string_view(tjGetErrorStr2(decoder)).find("before marker 0xd9") != std::string_view::npos;
}

uint8_t multiply(unsigned a, unsigned b) {
  const unsigned t = a * b + 128;
  return static_cast<uint8_t>(((t >> 8) + t) >> 8);
}

/// spec/image.md section 2: every sample lies inverted in the file, so 255 - K is the sample itself.
Image rgb_of_inverted_cmyk(const std::vector<uint8_t>& cmyk, int64_t width, int64_t height) {
  Image image = Image::zeros(width, height, 3);
  for (size_t i = 0; i < cmyk.size() / 4; ++i) {
    const int white = cmyk[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int ink = multiply(255u - cmyk[4 * i + c], static_cast<unsigned>(white));
      image.pixels[3 * i + c] = static_cast<uint8_t>(std::clamp(white - ink, 0, 255));
    }
  }
  return image;
}

Result<Image> pixels_of(tjhandle decoder, std::span<const std::byte> file, const Header& header,
                        const std::string& place) {
  const bool is_grey = header.colorspace == TJCS_GRAY;
  const bool is_cmyk = header.colorspace == TJCS_CMYK || header.colorspace == TJCS_YCCK;
  const int format = is_grey ? TJPF_GRAY : is_cmyk ? TJPF_CMYK : TJPF_RGB;
  const size_t samples = is_grey ? 1 : is_cmyk ? 4 : 3;
  std::vector<uint8_t> pixels(static_cast<size_t>(header.width) * static_cast<size_t>(header.height) * samples);
  const int status = tjDecompress2(decoder, data_of(file), file.size(), pixels.data(), header.width, 0, header.height,
                                   format, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
  if (status != 0 && !is_harmless(decoder)) return corrupt(place, tjGetErrorStr2(decoder));
  if (is_cmyk) return rgb_of_inverted_cmyk(pixels, header.width, header.height);
  return Image{header.width, header.height, is_grey ? 1 : 3, std::move(pixels)};
}

}  // namespace

Result<Image> decode_jpeg(std::span<const std::byte> file, const std::string& place) {
  const JpegDecoder decoder(tjInitDecompress());
  UNIREPLK_CHECK(decoder, "cannot start the JPEG decoder: {}", tjGetErrorStr2(nullptr));
  const auto header = read_header(decoder.get(), file, place);
  if (!header) return header.problem();
  return pixels_of(decoder.get(), file, *header, place);
}

}  // namespace unireplk::data::image
