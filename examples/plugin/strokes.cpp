// A modality that unireplk does not know, in one file: lines drawn by pen, as points. A source reads them, a pipeline
// turns them into the map that a network sees, and the last line tells the program of both.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <string_view>

#include "unireplk/data/registries.h"
#include "unireplk/io/files.h"
#include "unireplk/runner/plugin.h"

namespace strokes {

namespace fs = std::filesystem;
using unireplk::DataInfo;
using unireplk::Draw;
using unireplk::Problem;
using unireplk::Result;
using unireplk::Sample;
using unireplk::UserError;
namespace config = unireplk::config;
namespace data = unireplk::data;

/// A pen's way: points in the unit square, y downwards.
struct Point {
  float x = 0, y = 0;
};

struct Stroke {
  std::string name;  ///< of its class
  std::vector<Point> points;
};

/// The coordinate at the begin of `text`, which is cut off it.
bool take_number(std::string_view& text, float& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !(number >= 0 && number <= 1)) return false;
  text.remove_prefix(end - text.data());
  return true;
}

/// Of a line "circle 0.10,0.52 0.13,0.41 ...".
Result<Stroke> parse_stroke(std::string_view line, const std::string& place) {
  const size_t space = std::min(line.find(' '), line.size());
  Stroke stroke{.name = std::string(line.substr(0, space)), .points = {}};
  auto rest = line.substr(space);
  while (!rest.empty()) {
    Point point;
    rest.remove_prefix(1);
    const bool is_good = take_number(rest, point.x) && rest.starts_with(',') && (rest.remove_prefix(1), true) &&
                         take_number(rest, point.y) && (rest.empty() || rest.front() == ' ');
    if (!is_good) {
      return Problem{place,
                     unireplk::format("expected x,y with numbers in [0, 1], at point {}", stroke.points.size() + 1),
                     "A line is: class x,y x,y ..."};
    }
    stroke.points.push_back(point);
  }
  if (stroke.points.size() >= 2) return stroke;
  return Problem{place, unireplk::format("expected two points or more, got {}", stroke.points.size()), ""};
}

/// The first stroke of a file: what `predict` is given.
Result<Stroke> first_stroke(const fs::path& file) {
  return unireplk::as_result([&] {
    const auto lines = unireplk::io::read_lines(file);
    return parse_stroke(lines.empty() ? "" : lines.front(), unireplk::place_of(file, 1)).value_or_throw();
  });
}

/// `name: strokes` of a data set.
struct SourceConfig {
  fs::path file;
  std::vector<std::string> classes;

  static void fields(auto& self, auto&& visit) {
    visit("file", self.file, config::required, "Text file: a class and the points of a stroke on each line.");
    visit("classes", self.classes, config::required & config::non_empty, "Classes, in the order of their labels.");
  }
};

class Source : public data::Source {
 public:
  explicit Source(const SourceConfig& config) : config_(config) {
    const auto lines = unireplk::io::read_lines(config.file);
    for (int line = 1; line <= static_cast<int>(lines.size()); ++line) {
      const auto place = unireplk::place_of(config.file, line);
      strokes_.push_back(parse_stroke(lines[line - 1], place).value_or_throw());
      labels_.push_back(label_of(strokes_.back().name, place));
    }
    if (strokes_.empty()) throw UserError({config.file.string(), "expected strokes, got none", ""});
  }

  int64_t size() const override { return static_cast<int64_t>(strokes_.size()); }

  Result<data::Record> read(int64_t index) const override {
    const auto& points = strokes_.at(index).points;
    const auto tensor = at::from_blob(const_cast<Point*>(points.data()), {static_cast<int64_t>(points.size()), 2});
    return data::Record{.payload = tensor.clone(),  // [N, 2]
                        .target = {{"label", at::scalar_tensor(labels_[index], at::kLong)}},
                        .key = {.item = index},
                        .source = where(index)};
  }

  unireplk::SourceRef where(int64_t index) const override {
    return {.file = config_.file.string(), .position = index + 1};
  }
  std::optional<int64_t> label(int64_t index) const override { return labels_.at(index); }
  std::vector<fs::path> files() const override { return {config_.file}; }

  DataInfo info() const override {
    return {.fields = {data::label_field()}, .classes = config_.classes, .constants = {}};
  }

 private:
  int64_t label_of(const std::string& name, const std::string& place) const {
    const auto found = std::ranges::find(config_.classes, name);
    if (found != config_.classes.end()) return found - config_.classes.begin();
    throw UserError({place, unireplk::format("class \"{}\" is not in `classes`", name), "Add it there."});
  }

  SourceConfig config_;
  std::vector<Stroke> strokes_;
  std::vector<int64_t> labels_;
};

/// `name: strokes` of a pipeline.
struct PipelineConfig {
  int64_t size = 32;
  double width = 1.5;
  double rotation = 20;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(8, 1024), "Rows and columns of the map.");
    visit("width", self.width, config::positive, "Of the pen, pixels.");
    visit("rotation", self.rotation, config::between(0.0, 180.0), "Most that training turns a stroke by, degrees.");
  }
};

/// The distance of p from the line between a and b.
float distance(Point p, Point a, Point b) {
  const Point line{b.x - a.x, b.y - a.y};
  const float length = line.x * line.x + line.y * line.y;
  const float along = length > 0 ? ((p.x - a.x) * line.x + (p.y - a.y) * line.y) / length : 0;
  const float t = std::clamp(along, 0.0f, 1.0f);
  return std::hypot(p.x - a.x - t * line.x, p.y - a.y - t * line.y);
}

/// From points to an image of the stroke, uint8 [size, size, 1]. In training it is turned about the middle.
class Pipeline : public data::Pipeline {
 public:
  Pipeline(const PipelineConfig& config, data::Mode mode) : config_(config), mode_(mode) {}

  Result<std::vector<Sample>> apply(const data::Record& record, const Draw& draw) const override {
    auto points = points_of(record);
    if (!points) return points.problem();
    if (mode_ == data::Mode::kTrain) turn(*points, draw);
    Sample sample{.fields = record.target, .key = record.key, .source = record.source};
    sample.fields["image"] = drawn(*points);
    return std::vector{std::move(sample)};
  }

  DataInfo describe(DataInfo source) const override {
    source.fields.push_back({.name = "image",
                             .dtype = at::kByte,
                             .shape = {config_.size, config_.size, 1},
                             .meaning = "the drawn stroke, rows x columns x 1, 0..255"});
    source.constants["mean"] = at::tensor(std::vector<float>{0.15f});  // of drawings in [0, 1], about
    source.constants["std"] = at::tensor(std::vector<float>{0.35f});
    return source;
  }

 private:
  static Result<std::vector<Point>> points_of(const data::Record& record) {
    if (const auto* file = std::get_if<fs::path>(&record.payload)) {
      auto stroke = first_stroke(*file);
      if (!stroke) return stroke.problem();
      return stroke->points;
    }
    const auto tensor = std::get<at::Tensor>(record.payload).contiguous();
    const auto* begin = static_cast<const Point*>(tensor.const_data_ptr());
    return std::vector<Point>(begin, begin + tensor.size(0));
  }

  void turn(std::vector<Point>& points, const Draw& draw) const {
    auto random = draw.stream(/*number=*/1);
    const double angle = random.uniform(-config_.rotation, config_.rotation) * std::numbers::pi / 180;
    const auto cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
    for (auto& [x, y] : points) {
      const float dx = x - 0.5f, dy = y - 0.5f;
      x = 0.5f + cosine * dx - sine * dy;
      y = 0.5f + sine * dx + cosine * dy;
    }
  }

  at::Tensor drawn(const std::vector<Point>& points) const {
    const int64_t size = config_.size;
    const auto pen = static_cast<float>(config_.width / 2);
    auto image = at::empty({size, size, 1}, at::kByte);
    auto* pixel = image.mutable_data_ptr<uint8_t>();
    for (int64_t row = 0; row < size; ++row) {
      for (int64_t column = 0; column < size; ++column) {
        const float scale = 1.0f / static_cast<float>(size);
        const Point here{(static_cast<float>(column) + 0.5f) * scale, (static_cast<float>(row) + 0.5f) * scale};
        float nearest = 2;
        for (size_t i = 1; i < points.size(); ++i)
          nearest = std::min(nearest, distance(here, points[i - 1], points[i]));
        const float ink = std::clamp(pen + 0.5f - nearest * static_cast<float>(size), 0.0f, 1.0f);
        *pixel++ = static_cast<uint8_t>(std::lround(255 * ink));
      }
    }
    return image;
  }

  PipelineConfig config_;
  data::Mode mode_;
};

void add_names(config::Registries& registries) {
  registries.get<data::SourceSignature>().add<SourceConfig>(
      "strokes", "Lines drawn by pen, from a text file.",
      [](const SourceConfig& config) { return std::make_unique<Source>(config); });
  registries.get<data::PipelineSignature>().add<PipelineConfig>(
      "strokes", "Draw the points of a stroke.", [](const PipelineConfig& config, const DataInfo&, data::Mode mode) {
        return std::make_unique<Pipeline>(config, mode);
      });
}

}  // namespace strokes

UNIREPLK_PLUGIN(strokes::add_names)
