#include "unireplk/runner/builtins.h"

#include "unireplk/data/array_pipeline.h"
#include "unireplk/data/audio/audio_folder.h"
#include "unireplk/data/audio/audio_manifest.h"
#include "unireplk/data/audio/audio_pipeline.h"
#include "unireplk/data/audio/audioset.h"
#include "unireplk/data/audio/esc50.h"
#include "unireplk/data/audio/speech_commands.h"
#include "unireplk/data/file_list.h"
#include "unireplk/data/image/color_jitter.h"
#include "unireplk/data/image/crops.h"
#include "unireplk/data/image/idx.h"
#include "unireplk/data/image/image_folder.h"
#include "unireplk/data/image/image_pipeline.h"
#include "unireplk/data/image/pack.h"
#include "unireplk/data/image/rand_augment.h"
#include "unireplk/data/image/reshapes.h"
#include "unireplk/data/image/tar.h"
#include "unireplk/data/npy.h"
#include "unireplk/data/registries.h"
#include "unireplk/data/repeat.h"
#include "unireplk/data/subset.h"
#include "unireplk/data/time_series/csv_windows.h"
#include "unireplk/data/time_series/global_weather.h"
#include "unireplk/data/time_series/window_pipeline.h"
#include "unireplk/models/network.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/tasks/forecasting.h"
#include "unireplk/tasks/multi_label.h"
#include "unireplk/train/optimizer.h"
#include "unireplk/train/schedule.h"

namespace unireplk::runner {
namespace {

namespace audio = data::audio;
namespace image = data::image;
namespace time_series = data::time_series;

config::Registry<data::SourceSignature> sources() {
  config::Registry<data::SourceSignature> registry{"data source"};
  registry.add<audio::AudioFolderConfig>("audio_folder", "A folder of sounds for each class.",
                                         audio::make_audio_folder);
  registry.add<data::FileListConfig>("audio_list", "Sounds that a CSV file lists with their classes.",
                                     data::make_file_list);
  registry.add<audio::AudioManifestConfig>(
      "audio_manifest", "Sounds that a JSON file lists with any number of classes.", audio::make_audio_manifest);
  registry.add<audio::AudioSetConfig>("audioset", "AudioSet, as its segment lists name it.", audio::make_audioset);
  registry.add<audio::Esc50Config>("esc50", "ESC-50 or ESC-10, one fold held out.", audio::make_esc50);
  registry.add<audio::SpeechCommandsConfig>("speech_commands", "Speech Commands V2, 35 words, published split.",
                                            audio::make_speech_commands);
  registry.add<image::IdxConfig>("idx", "A pair of IDX files, as MNIST comes; plain or gzip.", image::make_idx);
  registry.add<image::ImageFolderConfig>("image_folder", "A folder of images for each class.",
                                         image::make_image_folder);
  registry.add<data::FileListConfig>("image_list", "Images that a CSV file lists with their classes.",
                                     data::make_file_list);
  registry.add<image::TarConfig>("tar", "Images in tar files, as ImageNet comes, without unpacking.", image::make_tar);
  registry.add<image::PackConfig>("pack", "Photos that `unireplk pack` made smaller and wrote into one file.",
                                  image::make_pack);
  registry.add<time_series::CsvWindowsConfig>("csv_windows", "Windows of a CSV table over time, to forecast.",
                                              time_series::make_csv_windows);
  registry.add<time_series::GlobalWeatherConfig>("global_weather",
                                                 "Windows of hourly values of weather stations, as .npy files.",
                                                 time_series::make_global_weather);
  registry.add<data::NpyConfig>("npy", "Images, series or features with classes in two NumPy files.", data::make_npy);
  registry.add<data::SubsetConfig>("subset", "Some classes, a split, or a few items of another source.",
                                   data::make_subset);
  registry.add<data::RepeatConfig>("repeat", "Another source several times an epoch.", data::make_repeat);
  return registry;
}

config::Registry<data::PipelineSignature> pipelines() {
  config::Registry<data::PipelineSignature> registry{"pipeline"};
  registry.add<audio::AudioPipelineConfig>("audio", "Decode, to a log-mel spectrogram.", audio::make_audio_pipeline);
  registry.add<image::ImagePipelineConfig>("image", "Decode, transform, to a square of bytes.",
                                           image::make_image_pipeline);
  registry.add<time_series::WindowPipelineConfig>("windows", "Windows as their source cuts them.",
                                                  [](const time_series::WindowPipelineConfig&, const DataInfo& source,
                                                     data::Mode) { return time_series::make_window_pipeline(source); });
  registry.add<data::ArrayPipelineConfig>("array", "Standardise numbers and lay them out as a map.",
                                          data::make_array_pipeline);
  return registry;
}

config::Registry<image::TransformSignature> transforms() {
  config::Registry<image::TransformSignature> registry{"transform"};
  registry.add<image::RandomResizedCropConfig>("random_resized_crop", "Cut a random rectangle and resize it.",
                                               image::make_random_resized_crop);
  registry.add<image::RandomCropConfig>("random_crop", "Cut at a random place, after padding.",
                                        image::make_random_crop);
  registry.add<image::HorizontalFlipConfig>("horizontal_flip", "Exchange left and right of some images.",
                                            image::make_horizontal_flip);
  registry.add<image::RandAugmentConfig>("rand_augment", "Some of 15 operations on shape and colour, of drawn size.",
                                         image::make_rand_augment);
  registry.add<image::ColorJitterConfig>("color_jitter", "Change brightness, contrast and saturation.",
                                         image::make_color_jitter);
  registry.add<image::ResizeConfig>("resize", "Resize the shorter side, keep the shape.", image::make_resize);
  registry.add<image::WarpConfig>("warp", "Resize both sides, whatever the shape was.", image::make_warp);
  registry.add<image::CenterCropConfig>("center_crop", "Cut the middle.", image::make_center_crop);
  registry.add<image::PadConfig>("pad", "A frame of one grey level.", image::make_pad);
  return registry;
}

config::Registry<tasks::TaskSignature> tasks_registry() {
  config::Registry<tasks::TaskSignature> registry{"task"};
  registry.add<tasks::ClassificationConfig>(
      "classification", "One label for each sample; cross-entropy, top-1 and top-5.",
      [](const tasks::ClassificationConfig& config, tasks::Network network, const DataInfo& info) {
        return std::make_unique<tasks::Classification>(config, std::move(network), info);
      });
  registry.add<tasks::MultiLabelConfig>(
      "multi_label", "Any number of labels for each sample; binary cross-entropy, mAP, AUC and d-prime.",
      [](const tasks::MultiLabelConfig& config, tasks::Network network, const DataInfo& info) {
        return std::make_unique<tasks::MultiLabel>(config, std::move(network), info);
      });
  registry.add<tasks::ForecastingConfig>(
      "forecasting", "The rows behind a window; mean squared and absolute error.",
      [](const tasks::ForecastingConfig& config, tasks::Network network, const DataInfo& info) {
        return std::make_unique<tasks::Forecasting>(config, std::move(network), info);
      });
  return registry;
}

config::Registry<train::MakeOptimizer> optimizers() {
  config::Registry<train::MakeOptimizer> registry{"optimizer"};
  registry.add<train::AdamWConfig>("adamw", "Adam with decoupled weight decay, layer-wise rates if wanted.",
                                   train::make_adamw);
  registry.add<train::AdamConfig>("adam", "Adam with weight decay as a part of the gradient.", train::make_adam);
  registry.add<train::SgdConfig>("sgd", "Gradient descent with momentum.", train::make_sgd);
  return registry;
}

config::Registry<train::MakeSchedule> schedules() {
  config::Registry<train::MakeSchedule> registry{"schedule"};
  registry.add<train::CosineConfig>("cosine", "Linear warm-up, then half a cosine.", train::make_cosine);
  registry.add<train::MultistepConfig>("multistep", "A factor at each of some epochs.", train::make_multistep);
  registry.add<train::ExponentialConfig>("exponential", "A factor for each epoch.", train::make_exponential);
  registry.add<train::PolyConfig>("poly", "A power of what is left of the run.", train::make_poly);
  registry.add<train::PlateauConfig>("plateau", "A factor when validations get no better.", train::make_plateau);
  registry.add<train::ConstantConfig>("constant", "The same after the warm-up.", train::make_constant);
  return registry;
}

}  // namespace

config::Registries builtins() {
  config::Registries all;
  all.add(models::backbones());
  all.add(models::heads());
  all.add(sources());
  all.add(pipelines());
  all.add(transforms());
  all.add(tasks_registry());
  all.add(optimizers());
  all.add(schedules());
  return all;
}

}  // namespace unireplk::runner
