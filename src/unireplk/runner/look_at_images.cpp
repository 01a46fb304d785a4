#include <algorithm>

#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/image/image_suffixes.h"
#include "unireplk/runner/looks.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

/// Median of the shorter sides of some images. \throws UserError when none can be decoded.
int64_t median_shorter_side(const data::Source& images) {
  std::vector<int64_t> sides;
  look_at_some(images, "photos", [&](const data::Record& record, const std::string& file) -> std::optional<Problem> {
    const auto image = data::image::decode(std::get<data::EncodedBytes>(record.payload).bytes, 3, file);
    if (!image) return image.problem();
    sides.push_back(std::min((*image).width, (*image).height));
    return std::nullopt;
  });
  const auto middle = sides.begin() + std::ssize(sides) / 2;
  std::ranges::nth_element(sides, middle);
  return *middle;
}

/// 224 for photos, less for small images: a multiple of 32, by which the network divides; up to 32 pixels the usual
/// evaluation would not resize.
int64_t input_size(int64_t shorter_side) { return std::clamp<int64_t>(shorter_side / 32 * 32, 64, 224); }

bool is_image(const std::string& name) { return data::image::image_files().holds(name); }

Draft draft_images(const fs::path& folder, const Wishes& wishes) {
  auto [draft, photos] =
      draft_classes(folder, {.name = "image_folder", .items = "images", .open = [](const fs::path& root) {
                               return data::image::make_image_folder({.root = root});
                             }});
  draft.data += format("  pipeline: {{name: image, size: {}, channels: {}}}\n",
                       input_size(median_shorter_side(*photos)), wishes.channels.value_or(3));
  return draft;
}

}  // namespace

Look look_at_images() {
  return {.files = "images in one sub-folder for each class",
          .knows = [](const fs::path& data) { return holds_file(data, is_image); },
          .draft = draft_images};
}

}  // namespace unireplk::runner
