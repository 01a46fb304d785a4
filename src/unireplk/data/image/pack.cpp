#include "unireplk/data/image/pack.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "unireplk/config/dump.h"
#include "unireplk/core/fingerprint.h"
#include "unireplk/core/log.h"
#include "unireplk/core/progress.h"
#include "unireplk/core/rng.h"
#include "unireplk/core/signal.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/encode_jpeg.h"
#include "unireplk/data/image/reshapes.h"
#include "unireplk/data/read_bytes.h"
#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/checksum.h"
#include "unireplk/formats/json.h"
#include "unireplk/formats/pack.h"
#include "unireplk/io/files.h"

namespace unireplk::data::image {
namespace {

namespace fs = std::filesystem;

// The description of a pack of photos.
constexpr const char *kKind = "kind", *kPhotos = "photos", *kClasses = "classes", *kOrigin = "origin";

/// A source as its options say it.
struct Origin {
  config::Choice<SourceSignature> source;

  static void fields(auto& self, auto&& visit) { visit("source", self.source, ""); }
};

/// Changes when the options of a source, its items, or size or time of change of a file do.
std::string fingerprint_of(const config::Choice<SourceSignature>& choice, const Source& source) {
  Fingerprint print;
  print.add(config::to_json(Origin{choice}));
  for (const auto& name : source.info().classes) print.add(name);
  print.add(source.size());
  for (int64_t i = 0; i < source.size(); ++i) {
    print.add(source.where(i).text());
    print.add(source.label(i).value_or(-1));
  }
  for (const auto& file : source.files()) {
    std::error_code error;
    print.add(file.string());
    print.add(static_cast<int64_t>(fs::file_size(file, error)));
    if (!error) print.add(static_cast<int64_t>(fs::last_write_time(file, error).time_since_epoch().count()));
    if (error) io::throw_system_error(file, "look at the file", error.value());
  }
  return format("{:016x}", print.value());
}

// A piece with pixels begins with these bytes, width and height (4 bytes each, little-endian); RGB rows follow.
constexpr std::string_view kPixels = "RGB8";
constexpr size_t kPixelsHeader = 12;

std::vector<std::byte> pixels_piece(const Image& image) {
  std::string header(kPixels);
  formats::append_little_endian(header, static_cast<uint64_t>(image.width), 4);
  formats::append_little_endian(header, static_cast<uint64_t>(image.height), 4);
  std::vector<std::byte> piece(kPixelsHeader + image.pixels.size());
  std::memcpy(piece.data(), header.data(), kPixelsHeader);
  std::memcpy(piece.data() + kPixelsHeader, image.pixels.data(), image.pixels.size());
  return piece;
}

bool holds_pixels(std::span<const std::byte> piece) {
  return piece.size() >= kPixelsHeader && std::memcmp(piece.data(), kPixels.data(), kPixels.size()) == 0;
}

Result<at::Tensor> pixels_in(std::span<const std::byte> piece, const std::string& place) {
  const auto width = static_cast<int64_t>(formats::little_endian(piece.subspan(4, 4)));
  const auto height = static_cast<int64_t>(formats::little_endian(piece.subspan(8, 4)));
  const auto data = piece.subspan(kPixelsHeader);
  const bool fits = width > 0 && height > 0 && width <= kMaxSide && height <= kMaxSide;
  if (!fits || std::ssize(data) != width * height * 3) {
    return Problem{place, format("{} bytes are not {} x {} pixels", data.size(), width, height),
                   "Make the pack again."};
  }
  at::Tensor pixels = at::empty({height, width, 3}, at::kByte);
  std::memcpy(pixels.mutable_data_ptr(), data.data(), data.size());
  return pixels;
}

/// What the description says.
struct Description {
  std::vector<std::string> classes;
  std::string origin;
};

Description parse_description(std::string_view text, const std::string& place) {
  const auto json = formats::parse_json(text, place).value_or_throw();
  const bool is_whole = json.is_object() && json.value(kKind, nlohmann::json()) == kPhotos && json.contains(kClasses) &&
                        json[kClasses].is_array() && json.contains(kOrigin) && json[kOrigin].is_string() &&
                        std::ranges::all_of(json[kClasses], [](const auto& name) { return name.is_string(); });
  if (!is_whole)
    throw UserError({place, "expected a pack of photos, got another one", "Make it with `unireplk pack`."});
  return {json[kClasses].get<std::vector<std::string>>(), json[kOrigin].get<std::string>()};
}

class Pack : public Source {
 public:
  explicit Pack(const PackConfig& config)
      : path_(config.file),
        file_(config.file),
        index_(read_index()),
        description_(parse_description(index_.description(), path_.string())) {
    for (size_t i = 0; i < index_.entries().size(); ++i) {
      if (index_.entries()[i].label < description_.classes.size()) continue;
      throw UserError({format("{}: item {}", path_.string(), i),
                       format("label {} of {} classes", index_.entries()[i].label, description_.classes.size()),
                       "Make the pack again."});
    }
  }

  int64_t size() const override { return std::ssize(index_.entries()); }
  SourceRef where(int64_t index) const override {
    return {.file = format("{}: {}", path_.string(), entry(index).name)};
  }
  std::optional<int64_t> label(int64_t index) const override { return entry(index).label; }
  std::vector<fs::path> files() const override { return {path_}; }
  DataInfo info() const override {
    return {.fields = {label_field()}, .classes = description_.classes, .constants = {}};
  }

  Result<Record> read(int64_t index) const override {
    SourceRef source = where(index);
    auto piece = piece_at(entry(index), source.text());
    if (!piece) return piece.problem();
    Record record = labelled_record({std::move(*piece)}, entry(index).label, index, std::move(source));
    const auto& bytes = std::get<EncodedBytes>(record.payload).bytes;
    if (!holds_pixels(bytes)) return record;
    auto pixels = pixels_in(bytes, record.source.text());
    if (!pixels) return pixels.problem();
    record.payload = std::move(*pixels);
    return record;
  }

  const std::string& origin() const { return description_.origin; }

 private:
  formats::PackIndex read_index() const {
    const auto read = [this](int64_t offset, std::span<std::byte> out) { file_.read(offset, out); };
    return formats::PackIndex::read(read, file_.size(), path_.string()).value_or_throw();
  }

  const formats::PackEntry& entry(int64_t index) const {
    UNIREPLK_CHECK(index >= 0 && index < size(), "pack: item {} of {}", index, size());
    return index_.entries()[static_cast<size_t>(index)];
  }

  Result<std::vector<std::byte>> piece_at(const formats::PackEntry& entry, const std::string& place) const {
    if (entry.bytes > kMaxSampleFileBytes) {
      return Problem{place, format("expected at most {} bytes, got {}", kMaxSampleFileBytes, entry.bytes), ""};
    }
    std::vector<std::byte> piece(static_cast<size_t>(entry.bytes));
    const auto read = as_result([&] { return file_.read(entry.offset, piece), true; });
    if (!read) return read.problem();
    if (formats::crc32_of(piece) == entry.crc) return piece;
    return Problem{place, "its checksum does not match its bytes", "The pack is damaged; make or copy it again."};
  }

  fs::path path_;
  io::InputFile file_;
  formats::PackIndex index_;
  Description description_;
};

/// A photo as it goes into the pack.
struct Packed {
  std::vector<std::byte> piece;
  bool is_resized = false;
  std::string problem = {};  ///< why it could not be decoded
};

Result<Packed> packed(const Source& source, int64_t index, const PackOptions& options, const Transform& resize) {
  auto record = source.read(index);
  if (!record) return record.problem();
  auto* file = std::get_if<EncodedBytes>(&record->payload);
  const std::string place = record->source.text();
  if (file == nullptr) return Problem{place, "expected the file of a photo, got an array", "There is nothing to pack."};
  auto image = decode(file->bytes, 3, place);
  const bool is_large = image && std::min(image->width, image->height) > options.shorter_side;
  if (is_large) {
    auto unused = Draw{}.stream(0);
    image = resize.apply(*std::move(image), unused);
  }
  if (!image) {
    const Problem problem{place, image.problem().message, image.problem().cure};
    return Packed{.piece = std::move(file->bytes), .problem = problem.text()};
  }
  if (options.quality == 0) return Packed{.piece = pixels_piece(*image), .is_resized = is_large};
  if (!is_large) return Packed{.piece = std::move(file->bytes)};
  return Packed{.piece = encode_jpeg(*image, static_cast<int>(options.quality)), .is_resized = true};
}

/// The next items, from `first` on, made by several threads.
std::vector<Packed> packed_chunk(const Source& source, int64_t first, int64_t count, const PackOptions& options,
                                 const Transform& resize) {
  std::vector<std::optional<Result<Packed>>> results(static_cast<size_t>(count));
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) {
      results[static_cast<size_t>(i)] = packed(source, first + i, options, resize);
    }
  };
  std::vector<std::future<void>> others;  // wait for their threads when they go
  for (int64_t i = 1; i < std::min(options.workers, count); ++i) others.push_back(std::async(std::launch::async, work));
  work();
  for (auto& other : others) other.get();
  std::vector<Packed> chunk;
  for (auto& result : results) chunk.push_back(std::move(*result).value_or_throw());
  return chunk;
}

std::string description_of(const Source& source, const std::string& origin, const PackOptions& options) {
  return nlohmann::ordered_json{{kKind, kPhotos},
                                {"shorter_side", options.shorter_side},
                                {"quality", options.quality},
                                {kOrigin, origin},
                                {kClasses, source.info().classes}}
      .dump();
}

/// \throws UserError when there are items, and none could be decoded.
void require_photos(const fs::path& file, const PackCounts& counts, const std::string& first_problem) {
  if (counts.items == 0 || counts.undecoded < counts.items) return;
  throw UserError({file.string(),
                   format("none of {} items is a photo that can be decoded, nothing was written. The first: {}",
                          counts.items, first_problem),
                   "A pack holds photos: other data are read from where they are."});
}

}  // namespace

std::unique_ptr<Source> make_pack(const PackConfig& config) {
  auto pack = std::make_unique<Pack>(config);
  if (!config.origin.empty() && fingerprint_of(config.origin, *config.origin.make()) != pack->origin()) {
    throw UserError({config.file.string(),
                     "it was made from another `origin`: options, items, or sizes or times of files have changed since",
                     "Make it again with `unireplk pack`, or leave out `origin` to take it as it is."});
  }
  return pack;
}

PackCounts write_pack(const config::Choice<SourceSignature>& origin, const PackOptions& options, const fs::path& file) {
  constexpr int64_t kChunk = 256;
  const auto source = origin.make();
  const auto fingerprint = fingerprint_of(origin, *source);
  const auto resize = make_resize({.size = options.shorter_side});
  const StopFlag stop;
  io::AtomicFile out(file);
  PackCounts counts{.items = source->size()};
  formats::PackWriter writer([&](std::span<const std::byte> bytes) {
    out.write(bytes);
    counts.bytes += std::ssize(bytes);
  });
  std::string first_problem;
  Progress progress("pack", counts.items);
  for (int64_t first = 0; first < counts.items; first += kChunk) {
    int64_t index = first;
    for (const auto& item : packed_chunk(*source, first, std::min(kChunk, counts.items - first), options, *resize)) {
      writer.add(item.piece, static_cast<uint32_t>(source->label(index).value_or(0)), source->where(index).text());
      counts.resized += item.is_resized ? 1 : 0;
      counts.undecoded += item.problem.empty() ? 0 : 1;
      if (counts.undecoded == 1 && first_problem.empty()) {
        first_problem = item.problem;
        log_warning("{} It is kept as it is.", first_problem);
      }
      ++index;
    }
    progress.update(index);
    if (stop.requested())
      throw UserError({file.string(), "stopped by " + stop.signal_name() + ", nothing was written", ""});
  }
  require_photos(file, counts, first_problem);
  writer.finish(description_of(*source, fingerprint, options));
  out.commit();
  return counts;
}

}  // namespace unireplk::data::image
