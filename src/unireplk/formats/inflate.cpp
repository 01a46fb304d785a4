#include "unireplk/formats/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace unireplk::formats {
namespace {

constexpr int kGzipWindow = 15 + 16;  // the largest window; +16 asks zlib for the gzip wrapper
constexpr int kRawWindow = -15;       // negative: no wrapper
constexpr size_t kMaxStep = std::numeric_limits<uInt>::max();

/// zlib counts in 32 bits: hand it the next piece when it has used the last.
void refill(z_stream& z, std::span<const std::byte>& input) {
  if (z.avail_in != 0) return;
  const size_t step = std::min(input.size(), kMaxStep);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));  // zlib does not write to it
  z.avail_in = static_cast<uInt>(step);
  input = input.subspan(step);
}

}  // namespace

struct GzipReader::Stream {
  z_stream z{};
  std::span<const std::byte> input;  // not yet handed to zlib
  bool at_end = false;
};

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

GzipReader::GzipReader(std::span<const std::byte> compressed, std::string place)
    : stream_(std::make_unique<Stream>()), place_(std::move(place)) {
  stream_->input = compressed;
  const int status = inflateInit2(&stream_->z, kGzipWindow);
  UNIREPLK_CHECK(status == Z_OK, "zlib cannot start: {}", status);
}

GzipReader::~GzipReader() { inflateEnd(&stream_->z); }

Result<size_t> GzipReader::read(std::span<std::byte> out) {
  Stream& s = *stream_;
  size_t done = 0;
  while (done < out.size() && !s.at_end) {
    refill(s.z, s.input);
    const size_t step = std::min(out.size() - done, kMaxStep);
    s.z.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    s.z.avail_out = static_cast<uInt>(step);
    const int status = inflate(&s.z, Z_NO_FLUSH);
    done += step - s.z.avail_out;
    if (status == Z_STREAM_END) {
      s.at_end = s.z.avail_in == 0 && s.input.empty();
      if (!s.at_end) inflateReset(&s.z);  // gzip files may be joined end to end
      continue;
    }
    if (status == Z_OK) continue;
    const bool cut = status == Z_BUF_ERROR && s.z.avail_in == 0 && s.input.empty();
    const std::string reason = cut ? "it ends too early" : s.z.msg != nullptr ? s.z.msg : "damaged data";
    return Problem{.place = place_,
                   .message = format("cannot decompress the gzip data: {}", reason),
                   .cure = "Make or download the file again."};
  }
  return done;
}

std::optional<Problem> inflate_exactly(std::span<const std::byte> compressed, std::span<std::byte> out,
                                       const std::string& place) {
  z_stream z{};
  int status = inflateInit2(&z, kRawWindow);
  UNIREPLK_CHECK(status == Z_OK, "zlib cannot start: {}", status);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  size_t done = 0;
  std::byte spare{};  // zlib wants somewhere to write even when nothing is left to come
  while (status == Z_OK) {
    refill(z, compressed);
    const size_t step = std::min(out.size() - done, kMaxStep);
    z.next_out = reinterpret_cast<Bytef*>(step > 0 ? out.data() + done : &spare);
    z.avail_out = static_cast<uInt>(std::max<size_t>(step, 1));
    const uInt room = z.avail_out;
    status = inflate(&z, Z_NO_FLUSH);
    if (step == 0 && z.avail_out == 0) return Problem{place, format("unpacks to more than {} bytes", out.size()), ""};
    if (step > 0) done += room - z.avail_out;
  }
  if (status == Z_STREAM_END && done == out.size() && z.avail_in == 0 && compressed.empty()) return std::nullopt;
  return Problem{place,
                 format("cannot be unpacked to {} bytes: {}", out.size(), z.msg != nullptr ? z.msg : "damaged data"),
                 "Make or download the file again."};
}

}  // namespace unireplk::formats
