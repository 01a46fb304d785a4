#include <turbojpeg.h>

#include "fuzz/decoding.h"

namespace unireplk::test {
namespace {

/// Past the header: libjpeg-turbo can tell size and colours, and begins with the pixels.
bool try_jpeg(std::span<const std::byte> bytes) {
  const tjhandle decoder = tjInitDecompress();
  int width = 0, height = 0, subsampling = -1, colors = -1;
  tjDecompressHeader3(decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), &width, &height,
                      &subsampling, &colors);
  tjDestroy(decoder);
  try_decoding(bytes, width, height);
  return width > 0 && height > 0 && colors >= 0;
}

/// Where the pixels begin: behind the marker of the first scan.
size_t scan_of(const Bytes& bytes) {
  const size_t marker = text_of(bytes).find("\xff\xda");
  return marker == std::string_view::npos ? bytes.size() : marker + 2;
}

/// A file of 16 x 16 grey pixels up to the first scan.
Bytes small_beginning() {
  const std::vector<unsigned char> grey(256, 100);
  const tjhandle encoder = tjInitCompress();
  unsigned char* file = nullptr;
  unsigned long size = 0;
  tjCompress2(encoder, grey.data(), 16, 0, 16, TJPF_GRAY, &file, &size, TJSAMP_GRAY, 50, 0);
  const auto all = std::as_bytes(std::span(file, size));
  Bytes bytes(all.begin(), all.end());
  tjFree(file);
  tjDestroy(encoder);
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
