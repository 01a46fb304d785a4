#include "unireplk/data/image/rand_augment.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "unireplk/core/error.h"
#include "unireplk/data/image/affine.h"
#include "unireplk/data/image/color.h"

namespace unireplk::data::image {
namespace {

/// One application: how far to go, and what else an operation may need.
struct Amount {
  double level;  ///< in [0, 1]
  const RandAugmentConfig& config;
  RandomStream& random;

  int64_t times(int64_t whole) const { return static_cast<int64_t>(level * static_cast<double>(whole)); }

  /// Up to `most`, one way or the other.
  double either_way(double most) const {
    const double amount = level * most;
    return random.bernoulli(0.5) ? -amount : amount;
  }

  Interpolation interpolation() const { return interpolation_of(config.interpolation, random); }

  Color fill() const {
    Color colour;
    std::ranges::transform(config.fill, colour.begin(), [](int64_t value) { return static_cast<uint8_t>(value); });
    return colour;
  }

  /// For adjust_...: away from 1, or with the list of the paper from 0.1 to 1.9.
  double factor() const { return config.increasing ? std::max(0.1, 1.0 + either_way(0.9)) : level * 1.8 + 0.1; }
};

Image moved(const Image& image, const AffineMap& map, const Amount& amount) {
  return affine(image, map, amount.interpolation(), amount.fill());
}

using Operation = Image (*)(Image image, const Amount& amount);

constexpr std::array<Operation, 15> kOperations = {
    [](Image image, const Amount&) { return autocontrast(std::move(image)); },
    [](Image image, const Amount&) { return equalize(std::move(image)); },
    [](Image image, const Amount&) { return invert(std::move(image)); },
    [](Image image, const Amount& amount) {
      const double degrees = amount.either_way(30);
      return rotate(image, degrees, amount.interpolation(), amount.fill());
    },
    [](Image image, const Amount& amount) {
      const int64_t bits = amount.times(4);
      return posterize(std::move(image), amount.config.increasing ? 4 - bits : bits);
    },
    [](Image image, const Amount& amount) {
      const int64_t threshold = amount.times(256);
      return solarize(std::move(image), amount.config.increasing ? 256 - threshold : threshold);
    },
    [](Image image, const Amount& amount) { return solarize_add(std::move(image), amount.times(110)); },
    [](Image image, const Amount& amount) { return adjust_color(std::move(image), amount.factor()); },
    [](Image image, const Amount& amount) { return adjust_contrast(std::move(image), amount.factor()); },
    [](Image image, const Amount& amount) { return adjust_brightness(std::move(image), amount.factor()); },
    [](Image image, const Amount& amount) { return adjust_sharpness(std::move(image), amount.factor()); },
    [](Image image, const Amount& amount) {  // shear x
      return moved(image, {1, amount.either_way(0.3), 0, 0, 1, 0}, amount);
    },
    [](Image image, const Amount& amount) {  // shear y
      return moved(image, {1, 0, 0, amount.either_way(0.3), 1, 0}, amount);
    },
    [](Image image, const Amount& amount) {  // translate x
      return moved(image, {1, 0, amount.either_way(0.45) * static_cast<double>(image.width), 0, 1, 0}, amount);
    },
    [](Image image, const Amount& amount) {  // translate y
      return moved(image, {1, 0, 0, 0, 1, amount.either_way(0.45) * static_cast<double>(image.height)}, amount);
    }};

class RandAugment : public Transform {
 public:
  explicit RandAugment(const RandAugmentConfig& config) : config_(config) {}

  Result<Image> apply(Image image, RandomStream& random) const override {
    // All operations are drawn before the first is applied, so that none depends on what another has drawn.
    std::vector<Operation> drawn;
    for (int64_t i = 0; i < config_.layers; ++i) {
      drawn.push_back(kOperations[static_cast<size_t>(random.integer(0, kOperations.size() - 1))]);
    }
    for (const Operation operation : drawn) {
      if (!random.bernoulli(config_.probability)) continue;
      image = operation(std::move(image), {.level = magnitude(random) / 10, .config = config_, .random = random});
    }
    return image;
  }

 private:
  double magnitude(RandomStream& random) const {
    constexpr double kUniformFrom = 100;
    const double drawn = config_.magnitude_std > kUniformFrom ? random.uniform(0, config_.magnitude)
                                                              : random.normal(config_.magnitude, config_.magnitude_std);
    return std::clamp(drawn, 0.0, config_.magnitude_max);
  }

  RandAugmentConfig config_;
};

constexpr const char* kExample = "Write for example rand-m9-mstd0.5-inc1.";

/// "mstd0.5" -> "mstd", 0.5. False when no number follows the letters.
bool split_section(std::string_view section, std::string_view& key, double& value) {
  const size_t digits = std::min(section.find_first_of("0123456789."), section.size());
  key = section.substr(0, digits);
  const auto read = std::from_chars(section.data() + digits, section.data() + section.size(), value);
  return read.ec == std::errc() && read.ptr == section.data() + section.size();
}

/// Set what a section says. \return what was expected instead, when it cannot be; else empty.
std::string set_section(RandAugmentConfig& config, std::string_view key, double value) {
  const bool is_whole = value == static_cast<double>(static_cast<int64_t>(std::clamp(value, -1e9, 1e9)));
  const auto number = [&](double& member, double high) {
    if (value > high) return format("{} from 0 to {}", key, high);
    member = value;
    return std::string();
  };
  if (key == "m") return number(config.magnitude, 10);
  if (key == "mstd") return number(config.magnitude_std, 1e9);
  if (key == "mmax") return number(config.magnitude_max, 10);
  if (key == "p") return number(config.probability, 1);
  if (key == "n") {
    if (!is_whole || value < 1 || value > 15) return "n from 1 to 15";
    config.layers = static_cast<int64_t>(value);
    return {};
  }
  if (key == "inc") {
    if (value != 0 && value != 1) return "inc0 or inc1";
    config.increasing = value == 1;
    return {};
  }
  return "one of m, n, mstd, mmax, p, inc";
}

}  // namespace

std::unique_ptr<Transform> make_rand_augment(const RandAugmentConfig& config) {
  return std::make_unique<RandAugment>(config);
}

Result<RandAugmentConfig> parse_rand_augment(std::string_view text) {
  RandAugmentConfig config{.magnitude = 10, .magnitude_std = 0, .increasing = false};
  size_t end = std::min(text.find('-'), text.size());
  if (text.substr(0, end) != "rand") {
    return Problem{"", format("expected a policy that begins with \"rand\", or none, got \"{}\"", text), kExample};
  }
  std::vector<std::string_view> seen;
  while (end < text.size()) {
    const size_t begin = end + 1;
    end = std::min(text.find('-', begin), text.size());
    const std::string_view section = text.substr(begin, end - begin);
    std::string_view key;
    double value = 0;
    std::string expected = "letters and a number";
    if (split_section(section, key, value)) {
      expected = std::ranges::count(seen, key) > 0 ? format("\"{}\" once", key) : set_section(config, key, value);
    }
    if (!expected.empty()) {
      return Problem{"", format("expected {}, got \"{}\" in \"{}\"", expected, section, text), kExample};
    }
    seen.push_back(key);
  }
  return config;
}

}  // namespace unireplk::data::image
