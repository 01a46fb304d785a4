#include "unireplk/data/image/tar.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "unireplk/core/some_of.h"
#include "unireplk/core/utf8.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/class_names.h"
#include "unireplk/data/image/tar_index.h"
#include "unireplk/data/read_bytes.h"
#include "unireplk/io/csv_file.h"
#include "unireplk/io/files.h"

namespace unireplk::data::image {
namespace {

namespace fs = std::filesystem;

struct TarItem {
  TarImage image;
  int64_t label = 0;
};

/// Tar files for reading: so few that all stay open, or each opened when it is needed.
class OpenTars {
 public:
  explicit OpenTars(std::vector<TarFile> files) : files_(std::move(files)) {
    if (files_.size() > kKeptOpen) return;
    for (const auto& file : files_) kept_.push_back(open(file));
  }

  std::vector<fs::path> paths() const {
    std::vector<fs::path> paths;
    for (const auto& file : files_) paths.push_back(file.path);
    return paths;
  }

  const TarFile& file(const TarImage& image) const { return files_[image.file]; }

  void read(const TarImage& image, std::span<std::byte> out) const {
    if (!kept_.empty()) return kept_[image.file]->read(image.offset, out);
    open(files_[image.file])->read(image.offset, out);
  }

 private:
  static constexpr size_t kKeptOpen = 64;

  static std::unique_ptr<const io::InputFile> open(const TarFile& file) {
    auto opened = std::make_unique<const io::InputFile>(file.path);
    if (file.is(*opened)) return opened;
    throw UserError({file.path.string(), "the file has changed since its headers were read", "Start again."});
  }

  std::vector<TarFile> files_;
  std::vector<std::unique_ptr<const io::InputFile>> kept_;
};

class Tar : public Source {
 public:
  Tar(std::vector<TarFile> files, std::vector<std::string> classes, std::vector<TarItem> items)
      : tars_(std::move(files)), classes_(std::move(classes)), items_(std::move(items)) {}

  int64_t size() const override { return static_cast<int64_t>(items_.size()); }

  SourceRef where(int64_t index) const override {
    const TarImage& image = item(index).image;
    return {.file = format("{}: {}", tars_.file(image).path.string(), image.name)};
  }

  std::optional<int64_t> label(int64_t index) const override { return item(index).label; }

  Result<Record> read(int64_t index) const override {
    const auto& [image, label] = item(index);
    SourceRef source = where(index);
    if (image.bytes > kMaxSampleFileBytes) {
      return Problem{source.text(), format("expected at most {} bytes, got {}", kMaxSampleFileBytes, image.bytes), ""};
    }
    EncodedBytes file{std::vector<std::byte>(static_cast<size_t>(image.bytes))};
    const auto read = as_result([&] { return tars_.read(image, file.bytes), true; });
    if (!read) return read.problem();
    return labelled_record(std::move(file), label, index, std::move(source));
  }

  std::vector<fs::path> files() const override { return tars_.paths(); }

  DataInfo info() const override { return {.fields = {label_field()}, .classes = classes_, .constants = {}}; }

 private:
  const TarItem& item(int64_t index) const {
    UNIREPLK_CHECK(index >= 0 && index < size(), "tar: item {} of {}", index, size());
    return items_[static_cast<size_t>(index)];
  }

  OpenTars tars_;
  std::vector<std::string> classes_;
  std::vector<TarItem> items_;
};

/// Items with their classes.
struct Labelled {
  std::vector<std::string> classes;
  std::vector<TarItem> items;
};

std::string_view class_of(const TarImage& image) {
  const std::string_view name = image.name;
  return name.substr(0, name.find('/'));
}

/// image_folder's order: by class, then by folder, then by file name.
auto folder_order(const TarImage& image) {
  const std::string_view name = image.name;
  const size_t slash = name.rfind('/');
  return std::tuple(class_of(image), name.substr(0, slash), name.substr(slash + 1));
}

/// \throws UserError when two of the sorted images have the same name.
void check_names(const std::vector<TarImage>& images, const std::string& place) {
  const auto twice = std::ranges::adjacent_find(images, {}, &TarImage::name);
  if (twice == images.end()) return;
  throw UserError({place, format("the image \"{}\" comes twice", twice->name), "Make the archive again."});
}

Labelled by_folder(std::vector<TarImage> images, const std::string& place) {
  std::vector<std::string> loose;
  for (const auto& image : images) {
    if (image.name.find('/') == std::string::npos) loose.push_back(image.name);
  }
  if (!loose.empty()) {
    throw UserError({place, format("images in no folder have no class: {}", some_of(loose)),
                     "Name the file that has their classes with `labels`."});
  }
  std::ranges::sort(images, {}, folder_order);
  check_names(images, place);
  Labelled out;
  for (auto& image : images) {
    if (out.classes.empty() || out.classes.back() != class_of(image)) out.classes.emplace_back(class_of(image));
    if (!is_utf8(out.classes.back())) {
      throw UserError(
          {format("{}: {}", place, image.name), "expected the name of a class in UTF-8", "Rename the folder."});
    }
    out.items.push_back({std::move(image), static_cast<int64_t>(out.classes.size()) - 1});
  }
  return out;
}

/// The class of each image, in their order, from rows that name them.
std::vector<std::string> classes_in_table(const std::vector<TarImage>& images, const TarConfig& config) {
  const auto table = io::read_csv_table(*config.labels);
  const size_t path = table.column(config.path), label = table.column(config.label);
  std::map<std::string_view, size_t> by_name;
  for (size_t i = 0; i < images.size(); ++i) by_name.emplace(images[i].name, i);
  std::vector<std::string> classes(images.size());
  std::vector<Problem> problems;
  for (const auto& row : table.rows) {
    const auto refuse = [&](std::string message, std::string cure) {
      if (problems.size() < kMaxProblems) {
        problems.push_back({place_of(table.place, row.line), std::move(message), std::move(cure)});
      }
    };
    const auto found = by_name.find(row.fields[path]);
    if (found == by_name.end()) {
      refuse(format("there is no image \"{}\" in {}", row.fields[path], config.file.string()),
             format("The first is {}.", images.front().name));
    } else if (row.fields[label].empty()) {
      refuse("expected the name of a class, got nothing", "");
    } else if (!classes[found->second].empty()) {
      refuse(format("the image \"{}\" comes twice", row.fields[path]), "Name it once.");
    } else {
      classes[found->second] = row.fields[label];
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return classes;
}

/// The class of each image, in their order, a line each.
std::vector<std::string> classes_in_lines(const std::vector<TarImage>& images, const TarConfig& config) {
  auto lines = io::read_lines(*config.labels);
  if (lines.size() != images.size()) {
    throw UserError({config.labels->string(),
                     format("expected {} lines, one for each image of {}, got {}", images.size(), config.file.string(),
                            lines.size()),
                     "Take the labels of this file, or a CSV file with the names of the images."});
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].empty()) continue;
    throw UserError(
        {place_of(*config.labels, static_cast<int>(i) + 1), "expected the name of a class, got nothing", ""});
  }
  return lines;
}

Labelled by_list(std::vector<TarImage> images, const TarConfig& config) {
  std::ranges::sort(images, {}, &TarImage::name);
  check_names(images, config.file.string());
  const auto names =
      config.labels->extension() == ".csv" ? classes_in_table(images, config) : classes_in_lines(images, config);
  std::vector<std::string> without;
  for (size_t i = 0; i < images.size(); ++i) {
    if (names[i].empty()) without.push_back(images[i].name);
  }
  if (!without.empty()) {
    throw UserError({config.labels->string(), "expected a row for each image, got none for " + some_of(without), ""});
  }
  Labelled out{.classes = sorted_classes({names.begin(), names.end()}), .items = {}};
  const auto labels = labels_of(out.classes, config.labels->string());
  for (size_t i = 0; i < images.size(); ++i) out.items.push_back({std::move(images[i]), labels.at(names[i])});
  return out;
}

/// The images in the folder `inside` of the archive, under the names they have there.
std::vector<TarImage> images_in(std::vector<TarImage> images, const std::filesystem::path& inside,
                                const std::string& place) {
  const auto folder = (inside / "").lexically_normal().string();
  const auto first = images.front().name;
  std::erase_if(images, [&](const TarImage& image) { return !image.name.starts_with(folder); });
  for (auto& image : images) image.name.erase(0, folder.size());
  if (!images.empty()) return images;
  throw UserError(
      {place, format("expected images in the folder {}, got none", folder), format("The first is {}.", first)});
}

}  // namespace

std::unique_ptr<Source> make_tar(const TarConfig& config) {
  auto [files, images] = index_tar(config.file, config.index);
  if (config.folder) images = images_in(std::move(images), *config.folder, config.file.string());
  auto labelled =
      config.labels ? by_list(std::move(images), config) : by_folder(std::move(images), config.file.string());
  map_classes(config.class_map, config.file.string(), labelled.classes, labelled.items);
  return std::make_unique<Tar>(std::move(files), std::move(labelled.classes), std::move(labelled.items));
}

}  // namespace unireplk::data::image
