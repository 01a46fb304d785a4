#include <algorithm>

#include "unireplk/core/log.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/image/image_suffixes.h"
#include "unireplk/runner/looks.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

Result<data::image::Image> photo(const data::Source& images, int64_t index) {
  const auto record = images.read(index);
  if (!record) return record.problem();
  return data::image::decode(std::get<data::EncodedBytes>((*record).payload).bytes, 3, images.where(index).file);
}

/// Median of the shorter sides of some images, evenly chosen; those that cannot be decoded are told.
/// \throws UserError when none can.
int64_t median_shorter_side(const data::Source& images) {
  constexpr int64_t kLookedAt = 31;
  std::vector<int64_t> sides;
  const int64_t count = std::min(kLookedAt, images.size());
  for (int64_t i = 0; i < count; ++i) {
    const auto image = photo(images, i * images.size() / count);
    if (image) {
      sides.push_back(std::min((*image).width, (*image).height));
    } else {
      log_warning("{}", image.problem().text());
    }
  }
  if (sides.empty()) {
    throw UserError({images.where(0).file, format("expected photos, got {} files that are none", count), ""});
  }
  const auto middle = sides.begin() + std::ssize(sides) / 2;
  std::ranges::nth_element(sides, middle);
  return *middle;
}

/// 224 for photos, less for small images: a multiple of 32, by which the network divides; up to 32 pixels the usual
/// evaluation would not resize.
int64_t input_size(int64_t shorter_side) { return std::clamp<int64_t>(shorter_side / 32 * 32, 64, 224); }

bool is_image(const std::string& name) { return data::image::image_files().holds(name); }

Draft draft_images(const fs::path& folder, const Wishes& wishes) {
  const auto folders = split_folders(folder);
  const auto sets =
      class_sets(folders, [](const fs::path& root) { return data::image::make_image_folder({.root = root}); });
  Draft draft{.data = set_lines("image_folder", folders), .items = sets.items};
  draft.data += format("  pipeline: {{name: image, size: {}, channels: {}}}\n",
                       input_size(median_shorter_side(*sets.train)), wishes.channels.value_or(3));
  draft.counts = {{"images", sets.items}, {"classes", sets.classes}};
  draft.found = format("{} images of {} classes to train with", sets.items, sets.classes);
  draft.validation = sets.validation;
  return draft;
}

}  // namespace

Look look_at_images() {
  return {.files = "images in one sub-folder for each class",
          .knows = [](const fs::path& data) { return holds_file(data, is_image); },
          .draft = draft_images};
}

}  // namespace unireplk::runner
