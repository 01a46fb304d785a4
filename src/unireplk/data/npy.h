#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"

namespace unireplk::data {

/// What the axes of an array are: N items, C channels, L steps, H rows, W columns.
enum class Layout { kNC, kNCL, kNLC, kNCHW, kNHWC };

/// `name: npy`: items and classes in two NumPy files.
struct NpyConfig {
  std::filesystem::path inputs;
  std::filesystem::path targets;
  Layout layout = Layout::kNCL;
  std::optional<std::filesystem::path> classes = {};

  static void fields(auto& self, auto&& visit) {
    visit("inputs", self.inputs, config::required, "NumPy file (.npy) of numbers, one item along its first axis.");
    visit("targets", self.targets, config::required, "NumPy file with the class index of each item.");
    visit("layout", self.layout, config::required,
          "Axes of `inputs`: items N, channels C, steps L, rows H, columns W.");
    visit("classes", self.classes, "Text file with the name of each class, one a line; without it they are numbers.");
  }
};

/// Arrays of booleans, integers or floats, mapped from their files where these hold them row by row, else in memory.
/// Payload: the item [C], [C, L] or [C, H, W], in the type of the file. Constants, for the pipeline `array`: `mean` and
/// `std` (float64 [C], of all items here; population; 1 where a channel is constant), `item_shape` (of the payload) and
/// `item_axes` (where its axes lie in an item of the file).
///
/// \throws UserError when a file cannot be read, shape or type are not those of the layout, counts differ, a label
///         names no class, or a number is not finite.
std::unique_ptr<Source> make_npy(const NpyConfig& config);

}  // namespace unireplk::data

namespace unireplk::config {

template <>
struct EnumNames<data::Layout> {
  static constexpr std::pair<std::string_view, data::Layout> values[] = {{"NC", data::Layout::kNC},
                                                                         {"NCL", data::Layout::kNCL},
                                                                         {"NLC", data::Layout::kNLC},
                                                                         {"NCHW", data::Layout::kNCHW},
                                                                         {"NHWC", data::Layout::kNHWC}};
};

}  // namespace unireplk::config
