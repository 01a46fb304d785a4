#include "unireplk/data/image/image_pipeline.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "unireplk/core/recycler.h"
#include "unireplk/data/image/color_jitter.h"
#include "unireplk/data/image/crops.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/rand_augment.h"
#include "unireplk/data/image/reshapes.h"
#include "unireplk/data/read_bytes.h"

namespace unireplk::data::image {
namespace {

constexpr int64_t kSmall = 32;      // up to here images are taken as they are
constexpr int64_t kWarpFrom = 384;  // from here evaluation keeps the whole image
constexpr std::string_view kNone = "none";

struct Step {
  std::string name;
  std::unique_ptr<Transform> transform;
  uint32_t stream = 0;
};

uint32_t fnv1a(std::string_view text) {
  uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

/// Transforms in order, each with the stream that its name and its number among those of that name give.
class Steps {
 public:
  void add(const std::string& name, std::unique_ptr<Transform> transform) {
    steps_.push_back({name, std::move(transform), fnv1a(name) + seen_[name]++});
  }
  std::vector<Step> take() && { return std::move(steps_); }

 private:
  std::vector<Step> steps_;
  std::map<std::string, uint32_t> seen_;
};

/// What comes into sight where an image is moved: the mean, which is zero once normalised.
std::array<int64_t, 3> fill_of(const at::Tensor& mean) {
  std::array<int64_t, 3> fill{};
  for (int64_t c = 0; c < mean.size(0); ++c) {
    fill[static_cast<size_t>(c)] = std::clamp<int64_t>(std::llrint(255 * mean[c].item<double>()), 0, 255);
  }
  return fill;
}

/// spec/image.md section 3.
Steps published_training(const ImagePipelineConfig& config, const at::Tensor& mean) {
  Steps steps;
  if (config.size <= kSmall) {
    steps.add("random_crop", make_random_crop({.size = config.size, .padding = 4}));
  } else {
    RandomResizedCropConfig crop;
    crop.size = config.size;
    crop.interpolation = config.train_interpolation;
    steps.add("random_resized_crop", make_random_resized_crop(crop));
  }
  steps.add("horizontal_flip", make_horizontal_flip({}));
  if (config.auto_augment != kNone) {
    RandAugmentConfig augment = parse_rand_augment(config.auto_augment).value_or_throw();
    augment.interpolation = config.train_interpolation;
    augment.fill = fill_of(mean);
    steps.add("rand_augment", make_rand_augment(augment));
  } else if (config.color_jitter > 0) {
    const double most = config.color_jitter;
    steps.add("color_jitter", make_color_jitter({.brightness = most, .contrast = most, .saturation = most}));
  }
  return steps;
}

/// spec/image.md section 4.
Steps published_evaluation(const ImagePipelineConfig& config) {
  Steps steps;
  if (config.size >= kWarpFrom) {
    steps.add("warp", make_warp({.size = config.size}));
  } else if (config.size > kSmall) {
    const auto shorter = static_cast<int64_t>(static_cast<double>(config.size) / config.crop_pct);
    steps.add("resize", make_resize({.size = shorter}));
    steps.add("center_crop", make_center_crop({.size = config.size}));
  }
  return steps;
}

std::vector<Step> steps_of(const ImagePipelineConfig& config, const at::Tensor& mean, Mode mode) {
  const auto& chosen = mode == Mode::kTrain ? config.train : config.evaluation;
  if (!chosen) return (mode == Mode::kTrain ? published_training(config, mean) : published_evaluation(config)).take();
  Steps steps;
  for (const auto& choice : *chosen) steps.add(choice.name(), choice.make());
  return std::move(steps).take();
}

int64_t channels_of(const ImagePipelineConfig& config, const DataInfo& source) {
  if (config.channels) return *config.channels;
  const auto found = source.constants.find("channels");
  return found == source.constants.end() ? 3 : found->second.item<int64_t>();
}

at::Tensor constant_of(const char* key, const std::optional<std::vector<double>>& given, int64_t channels,
                       const std::vector<double>& imagenet) {
  const std::vector<double> usual = channels == 3 ? imagenet : std::vector<double>{0.5};
  const auto& values = given ? *given : usual;
  if (static_cast<int64_t>(values.size()) != channels) {
    throw UserError({format("data.pipeline.{}", key),
                     format("expected {} values, one for each channel, got {}", channels, values.size()),
                     "Set `channels`, or give as many values as the images have channels."});
  }
  return at::tensor(values, at::kFloat);
}

Result<Image> image_of(const at::Tensor& pixels, int64_t channels, PixelAllocator where) {
  const bool has_channels = pixels.dim() == 3 && (pixels.size(2) == 1 || pixels.size(2) == 3);
  if (pixels.scalar_type() != at::kByte || !(pixels.dim() == 2 || has_channels) || pixels.numel() == 0) {
    throw UserError({"data.pipeline",
                     format("image takes files or uint8 pixels [H, W] or [H, W, 1 or 3], got {} [{}]",
                            at::toString(pixels.scalar_type()), fmt::join(pixels.sizes(), ", ")),
                     "Choose the pipeline array for arrays of numbers."});
  }
  Image image = Image::sized(pixels.size(1), pixels.size(0), has_channels ? pixels.size(2) : 1, where);
  const at::Tensor dense = pixels.contiguous();
  std::memcpy(image.pixels.data(), dense.const_data_ptr<uint8_t>(), image.pixels.size());
  return with_channels(std::move(image), channels);
}

/// \param choose  empty: all of the image.
Result<Image> image_of(const Record& record, int64_t channels, const std::string& place, const ChoosePart& choose,
                       PixelAllocator where) {
  if (const auto* pixels = std::get_if<at::Tensor>(&record.payload)) {
    auto image = image_of(*pixels, channels, where);
    if (!image || !choose) return image;
    return crop(*image, choose(image->width, image->height));
  }
  if (const auto* file = std::get_if<EncodedBytes>(&record.payload)) {
    return decode_part(file->bytes, channels, place, choose, where);
  }
  const auto file = read_bytes(std::get<std::filesystem::path>(record.payload));
  if (!file) return file.problem();
  return decode_part(file->bytes, channels, place, choose, where);
}

/// Pixels and the memory that they go back to.
struct HeldPixels {
  std::shared_ptr<Recycler> memory;
  Pixels pixels;
};

/// The pixels themselves, not a copy. \param memory  where they lie.
at::Tensor tensor_of(Image image, std::shared_ptr<Recycler> memory) {
  const auto held = std::make_shared<HeldPixels>(HeldPixels{std::move(memory), std::move(image.pixels)});
  return at::from_blob(
      held->pixels.data(), {image.height, image.width, image.channels}, [held](void*) {}, at::kByte);
}

class ImagePipeline : public Pipeline {
 public:
  ImagePipeline(const ImagePipelineConfig& config, const DataInfo& source, Mode mode)
      : size_(config.size),
        channels_(channels_of(config, source)),
        mean_(constant_of("mean", config.mean, channels_, {0.485, 0.456, 0.406})),
        std_(constant_of("std", config.std, channels_, {0.229, 0.224, 0.225})),
        steps_(steps_of(config, mean_, mode)),
        cut_(steps_.empty() ? nullptr : dynamic_cast<const Cut*>(steps_.front().transform.get())) {}

  Result<std::vector<Sample>> apply(const Record& record, const Draw& draw) const override {
    const std::string place = record.source.text();
    auto image = first_image(record, draw, place);
    for (size_t i = cut_ ? 1 : 0; image && i < steps_.size(); ++i) {
      RandomStream random = draw.stream(steps_[i].stream);
      image = placed(steps_[i].transform->apply(std::move(image).value(), random), place);
      end_stage(steps_[i].name);
    }
    if (!image) return image.problem();
    if (image->width != size_ || image->height != size_) {
      throw UserError({"data.pipeline",
                       format("expected {} x {} pixels after the transforms, got {} x {} from {}", size_, size_,
                              image->width, image->height, place),
                       "Change `size` of the pipeline, or let its transforms end with that size."});
    }
    Sample sample{.fields = record.target, .key = record.key, .source = record.source};
    sample.fields["image"] = tensor_of(std::move(image).value(), memory_);
    end_stage("tensor");
    return std::vector{std::move(sample)};
  }

  DataInfo describe(DataInfo source) const override {
    std::erase_if(source.fields, [](const FieldSpec& spec) { return spec.name == "image"; });
    source.fields.push_back(
        {.name = "image",
         .dtype = at::kByte,
         .shape = {size_, size_, channels_},
         .meaning = format("{} image, rows x columns x channels, 0..255", channels_ == 1 ? "grey" : "RGB")});
    source.constants["channels"] = at::tensor(channels_, at::kLong);
    source.constants["mean"] = mean_;
    source.constants["std"] = std_;
    return source;
  }

  void observe_stages(StageObserver observer) override { observer_ = std::move(observer); }

 private:
  /// The decoded image, or what the first transform cuts from it: then only that is decoded.
  Result<Image> first_image(const Record& record, const Draw& draw, const std::string& place) const {
    if (!cut_) {
      auto image = image_of(record, channels_, place, {}, where());
      end_stage("decode");
      return image;
    }
    RandomStream random = draw.stream(steps_.front().stream);
    auto part = image_of(
        record, channels_, place, [&](int64_t width, int64_t height) { return cut_->choose(width, height, random); },
        where());
    end_stage("decode");
    if (!part) return part;
    auto image = placed(cut_->finish(std::move(part).value(), random), place);
    end_stage(steps_.front().name);
    return image;
  }

  /// A transform leaves the place of its problem to us.
  static Result<Image> placed(Result<Image> image, const std::string& place) {
    if (image) return image;
    return Problem{place, image.problem().message, image.problem().cure};
  }

  PixelAllocator where() const { return {.memory = memory_.get()}; }

  void end_stage(const std::string& name) const {
    if (observer_) observer_(name);
  }

  /// Of all images in the making, those of other threads too, and of samples until they are a batch.
  static constexpr size_t kMostKept = size_t{512} << 20;
  std::shared_ptr<Recycler> memory_ = std::make_shared<Recycler>(kMostKept);

  int64_t size_;
  int64_t channels_;
  at::Tensor mean_;
  at::Tensor std_;
  std::vector<Step> steps_;
  const Cut* cut_;  ///< the first step, when it is one
  StageObserver observer_;
};

}  // namespace

void ImagePipelineConfig::validate(config::Problems& problems) const {
  if (channels == 2) problems.add("channels", "expected 1 (grey) or 3 (RGB), got 2");
  const bool augments = auto_augment != kNone;
  if (augments) {
    const auto parsed = parse_rand_augment(auto_augment);
    if (!parsed) problems.add("auto_augment", parsed.problem().message, parsed.problem().cure);
  }
  if (augments && color_jitter > 0) {
    problems.add("color_jitter", "has no effect beside auto_augment", "Leave out one of them.");
  }
  if (train && (augments || color_jitter > 0 || train_interpolation != InterpolationChoice::kBicubic)) {
    problems.add("train", "a list of transforms leaves train_interpolation, auto_augment and color_jitter no effect",
                 "Leave those out, and list rand_augment or color_jitter instead.");
  }
}

bool ImagePipelineConfig::draws_in_training() const {
  if (!train) return true;
  return !std::ranges::all_of(*train, [](const config::Choice<TransformSignature>& step) {
    return step.config_if<ResizeConfig>() || step.config_if<WarpConfig>() || step.config_if<CenterCropConfig>() ||
           step.config_if<PadConfig>();
  });
}

std::unique_ptr<Pipeline> make_image_pipeline(const ImagePipelineConfig& config, const DataInfo& source, Mode mode) {
  return std::make_unique<ImagePipeline>(config, source, mode);
}

}  // namespace unireplk::data::image
