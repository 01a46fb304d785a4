#include "unireplk/data/image/tar_index.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/core/progress.h"
#include "unireplk/core/whole_number.h"
#include "unireplk/data/image/image_suffixes.h"
#include "unireplk/formats/csv.h"
#include "unireplk/formats/tar.h"

namespace unireplk::data::image {
namespace {

namespace fs = std::filesystem;
using formats::TarKind;
using formats::TarMember;

constexpr std::string_view kTarSuffix = ".tar";

std::vector<fs::path> tar_files(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path};
  std::vector<fs::path> found;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == kTarSuffix) found.push_back(it->path());
  }
  if (error) io::throw_system_error(path, "list the folder", error.value());
  if (found.empty()) {
    throw UserError({path.string(), "expected a folder with one tar file for each class, got none",
                     "Name a tar file, or the folder that holds them."});
  }
  std::ranges::sort(found);
  return found;
}

std::vector<TarFile> as_they_are(const std::vector<fs::path>& paths) {
  std::vector<TarFile> files;
  for (const auto& path : paths) {
    const io::InputFile file(path);
    files.push_back({path, file.size(), file.modified_ns()});
  }
  return files;
}

/// A name without "./", "//" and the slash in front. \throws UserError when it leads out of the archive.
std::string plain_name(std::string_view name, const std::string& place) {
  std::string out;
  while (!name.empty()) {
    const auto part = name.substr(0, name.find('/'));
    name.remove_prefix(std::min(part.size() + 1, name.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") throw UserError({place, "the name leads out of the archive", "Make the archive again."});
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

/// Bytes [begin, begin + size) of a tar file that are an archive: the file itself, or one within it.
struct Archive {
  const io::InputFile& input;
  int64_t begin;
  int64_t size;
  std::string place;
  std::string folder;  ///< "", or "n01440764/"
  bool is_inner;
};

/// Collects the images of tar files.
class Scan {
 public:
  Scan(TarIndex& index, std::string label, int64_t bytes) : index_(index), progress_(std::move(label), bytes / kMiB) {}

  void add(size_t file, std::string folder) {
    const auto& [path, bytes, modified] = index_.files[file];
    const io::InputFile input(path);
    if (!index_.files[file].is(input)) throw UserError({path.string(), "the file changes while it is read", ""});
    file_ = file;
    scan({input, 0, bytes, path.string(), std::move(folder), false});
    before_ += bytes;
  }

 private:
  static constexpr int64_t kMiB = 1 << 20;

  void scan(const Archive& archive) {
    const auto read = [&](int64_t offset, std::span<std::byte> out) {
      archive.input.read(archive.begin + offset, out);
    };
    formats::TarReader reader(read, archive.size, archive.place);
    const size_t earlier = index_.images.size();
    TarMember member;
    while (reader.next(member).value_or_throw()) {
      take(archive, member);
      progress_.update((before_ + archive.begin + reader.position()) / kMiB);
    }
    if (index_.images.size() == earlier) {
      throw UserError({archive.place, format("expected at least one image ({}), got none", image_files().suffix_text()),
                       "Add images, or take the archive away."});
    }
  }

  void take(const Archive& archive, const TarMember& member) {
    const bool is_archive = fs::path(member.name).extension() == kTarSuffix;
    if (member.kind == TarKind::kFolder || !(is_archive || image_files().holds(member.name))) return;
    const auto place = format("{}: {}", archive.place, member.name);
    if (member.kind != TarKind::kFile) {
      throw UserError(
          {place, "expected a file, got a link or device", "Make the archive again, of the files themselves."});
    }
    auto name = archive.folder + plain_name(member.name, place);
    if (!is_archive) {
      index_.images.push_back({std::move(name), file_, archive.begin + member.offset, member.bytes});
      return;
    }
    if (archive.is_inner) throw UserError({place, "a tar file in a tar file in a tar file", "Unpack one of them."});
    name.replace(name.size() - kTarSuffix.size(), kTarSuffix.size(), "/");
    scan({archive.input, archive.begin + member.offset, member.bytes, place, std::move(name), true});
  }

  TarIndex& index_;
  Progress progress_;
  size_t file_ = 0;
  int64_t before_ = 0;  ///< bytes of the files that are done
};

// A cached index: a CSV file of these rows, where images belong to the archive above them.
//   unireplk tar index,VERSION
//   archive,FILE NAME,BYTES,MODIFIED
//   image,NAME,OFFSET,BYTES
constexpr std::string_view kCacheTitle = "unireplk tar index,1\n";
constexpr std::string_view kArchiveRow = "archive", kImageRow = "image";

[[noreturn]] void refuse_cache(const fs::path& cache, int line, std::string message) {
  throw UserError({place_of(cache, line), std::move(message),
                   "Remove the file, it is made again; or name another one with `index`."});
}

int64_t cache_number(const std::string& text, const fs::path& cache, int line) {
  if (const auto value = whole_number(text)) return *value;
  refuse_cache(cache, line, format("expected a number, got \"{}\"", text));
}

/// The images that the cache tells of, unless it tells of other files.
std::optional<std::vector<TarImage>> read_cache(const fs::path& cache, const std::vector<TarFile>& files) {
  std::error_code error;
  if (!fs::exists(cache, error)) return std::nullopt;
  const std::string text = io::read_file(cache, int64_t{1} << 36);
  if (!text.starts_with(kCacheTitle)) refuse_cache(cache, 0, "expected the index of tar files, got another file");
  formats::CsvReader reader(text, cache.string());
  formats::CsvRow row;
  std::vector<TarImage> images;
  size_t archives = 0;
  (void)reader.next(row).value_or_throw();
  while (reader.next(row).value_or_throw()) {
    if (row.fields.size() != 4) refuse_cache(cache, row.line, "expected 4 columns");
    const int64_t third = cache_number(row.fields[2], cache, row.line);
    const int64_t fourth = cache_number(row.fields[3], cache, row.line);
    if (row.fields[0] == kArchiveRow) {
      if (archives == files.size()) return std::nullopt;
      const auto& file = files[archives++];
      if (file.path.filename() != row.fields[1] || file.bytes != third || file.modified_ns != fourth)
        return std::nullopt;
      continue;
    }
    if (row.fields[0] != kImageRow || archives == 0)
      refuse_cache(cache, row.line, "expected an archive, then its images");
    if (third < 0 || fourth < 0 || third > files[archives - 1].bytes - fourth) {
      refuse_cache(cache, row.line, "an image beyond the end of its archive");
    }
    images.push_back({std::move(row.fields[1]), archives - 1, third, fourth});
  }
  if (archives != files.size()) return std::nullopt;
  return images;
}

void write_cache(const fs::path& cache, const TarIndex& index) {
  constexpr size_t kPiece = 1 << 20;
  io::AtomicFile file(cache);
  std::string text(kCacheTitle);
  size_t archives = 0;
  for (const auto& image : index.images) {
    for (; archives <= image.file; ++archives) {
      const auto& archive = index.files[archives];
      text += format("{},{},{},{}\n", kArchiveRow, formats::csv_field(archive.path.filename().string()), archive.bytes,
                     archive.modified_ns);
    }
    text += format("{},{},{},{}\n", kImageRow, formats::csv_field(image.name), image.offset, image.bytes);
    if (text.size() < kPiece) continue;
    file.write(text);
    text.clear();
  }
  file.write(text);
  file.commit();
}

void scan_all(TarIndex& index, const fs::path& path, bool is_folder) {
  int64_t bytes = 0;
  for (const auto& file : index.files) bytes += file.bytes;
  Scan scan(index, format("index {} (MiB)", path.filename().string()), bytes);
  for (size_t i = 0; i < index.files.size(); ++i) {
    scan.add(i, is_folder ? index.files[i].path.stem().string() + '/' : "");
  }
}

}  // namespace

TarIndex index_tar(const fs::path& path, const std::optional<fs::path>& cache) {
  std::error_code error;
  TarIndex index{.files = as_they_are(tar_files(path)), .images = {}};
  if (cache) {
    if (auto images = read_cache(*cache, index.files)) {
      index.images = *std::move(images);
      return index;
    }
  }
  scan_all(index, path, fs::is_directory(path, error));
  if (cache) {
    write_cache(*cache, index);
    log_info("{}: the index of {} images in {} tar files", cache->string(), index.images.size(), index.files.size());
  }
  return index;
}

}  // namespace unireplk::data::image
