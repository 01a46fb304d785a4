#include "fuzz/decoding.h"
#include "unireplk/data/image/encode_jpeg.h"
#include "unireplk/data/image/jpeg_decompressor.h"

namespace unireplk::test {
namespace {

/// Past the header: libjpeg-turbo can tell size and colours, and begins with the pixels.
bool try_jpeg(std::span<const std::byte> bytes) {
  data::image::JpegDecompressor decompressor;
  const bool is_sound = decompressor.read_header(bytes);
  const auto& header = decompressor.state();
  if (is_sound) try_decoding(bytes, header.image_width, header.image_height);
  return is_sound;
}

/// Where the pixels begin: behind the marker of the first scan.
size_t scan_of(const Bytes& bytes) {
  const size_t marker = text_of(bytes).find("\xff\xda");
  return marker == std::string_view::npos ? bytes.size() : marker + 2;
}

/// A file of 16 x 16 grey pixels up to the first scan.
Bytes small_beginning() {
  Bytes bytes = data::image::encode_jpeg(data::image::Image::zeros(16, 16, 1), 50);
  bytes.resize(scan_of(bytes));
  return bytes;
}

/// Half the time the pixels alone. What is no JPEG becomes the pixels of a small one.
void change_jpeg(Bytes& bytes, const Change& change, std::mt19937& random) {
  static const Bytes beginning = small_beginning();
  if (!try_jpeg(bytes)) bytes.insert(bytes.begin(), beginning.begin(), beginning.end());
  change_behind(random() % 2 == 0 ? scan_of(bytes) : 0, bytes, change);
}

}  // namespace

const Target kTarget{.try_bytes = try_jpeg, .change_within = change_jpeg};

}  // namespace unireplk::test
