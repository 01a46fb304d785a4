#include "unireplk/runner/sample_pictures.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>

#include "unireplk/data/image/encode_png.h"
#include "unireplk/data/image/map_picture.h"
#include "unireplk/data/loader.h"
#include "unireplk/io/files.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;
using data::image::Image;

/// What is gathered of the samples.
struct Gathered {
  std::map<std::string, std::vector<Image>> pictures;  ///< by field
  std::vector<std::string> lines;
};

/// Maps of photos are normalised when a network sees them; here they are photos again.
at::Tensor denormalised(const at::Tensor& map, const FieldSpec& spec, const DataInfo& info) {
  const auto mean = info.constants.find("mean"), std = info.constants.find("std");
  const bool was_bytes = spec.dtype == at::kByte && map.dim() == 3;
  if (!was_bytes || mean == info.constants.end() || std == info.constants.end()) return map;
  return map.mul(std->second.reshape({-1, 1, 1})).add(mean->second.reshape({-1, 1, 1}));
}

/// One grey channel of a photo keeps its greys.
at::Tensor seen(const at::Tensor& map, const FieldSpec& spec, const DataInfo& info) {
  at::Tensor picture = denormalised(map, spec, info);
  const bool is_grey = spec.dtype == at::kByte && picture.dim() == 3 && picture.size(0) == 1;
  return is_grey ? picture.expand({3, -1, -1}) : picture;
}

bool is_map(const Batch& batch, const FieldSpec& spec) {
  const auto found = batch.fields.find(spec.name);
  if (found == batch.fields.end()) return false;
  const auto* tensor = std::get_if<at::Tensor>(&found->second);
  return tensor && tensor->is_floating_point() && (tensor->dim() == 3 || tensor->dim() == 4);
}

std::string class_name(const DataInfo& info, int64_t label) {
  const auto index = static_cast<size_t>(label);
  return index < info.classes.size() ? info.classes[index] : format("class {}", label);
}

/// The classes of sample `i`, with what it kept of itself where it is mixed with its partner; nothing without labels.
std::string label_of(const Batch& batch, int64_t i, const DataInfo& info) {
  if (!batch.has("label")) return "";
  const auto name = [&](int64_t at) { return class_name(info, batch.tensor("label")[at].item<int64_t>()); };
  if (!batch.has("kept")) return name(i);
  const double kept = batch.tensor("kept")[i].item<double>();
  return format("{:.2f} {} + {:.2f} {}", kept, name(i), 1 - kept, name(batch.size() - 1 - i));
}

/// Maps [n, H, W] of one window, those of the first groups of channels side by side.
Image embedding_picture(const at::Tensor& maps) {
  constexpr int64_t kMostGroups = 8;
  std::vector<Image> pictures;
  for (int64_t i = 0; i < std::min(kMostGroups, maps.size(0)); ++i) {
    pictures.push_back(data::image::picture_of(maps[i], View::kRowsColumns));
  }
  return data::image::grid_of(pictures, std::ssize(pictures), /*scale=*/1);
}

/// What a forecaster makes of the windows of a batch.
void gather_embeddings(models::ForecasterImpl& forecaster, const Batch& batch, int64_t count, Gathered& gathered) {
  const at::NoGradGuard no_graph;
  const int64_t windows = std::min(count, batch.size());
  const auto first = [&](const char* name) { return batch.tensor(name).narrow(0, 0, windows); };
  const auto maps =
      forecaster.map_of({.window = first("window"), .marks = first("marks")}).squeeze(1);  // [B * n, H, W]
  for (const auto& of_window : maps.unflatten(0, {windows, -1}).unbind(0)) {
    gathered.pictures["embedding"].push_back(embedding_picture(of_window));
  }
}

void gather(const Batch& batch, const DataInfo& info, int64_t count, Gathered& gathered) {
  for (int64_t i = 0; i < std::min(count, batch.size()); ++i) {
    const auto number = gathered.lines.size() + 1;
    gathered.lines.push_back(format("{}\t{}\t{}\n", number, label_of(batch, i, info), batch.sources[i].text()));
    for (const auto& spec : info.fields) {
      if (!is_map(batch, spec)) continue;
      const auto map = seen(batch.tensor(spec.name)[i], spec, info);
      gathered.pictures[spec.name].push_back(data::image::picture_of(map, spec.view));
    }
  }
}

/// The first samples of the first epoch, prepared as for its first steps.
Gathered first_samples(const ExperimentConfig& config, const NetworkOf& network_of, int64_t count) {
  const Context context = make_context("cpu", config.threads, config.seed);
  const auto dataset = training_data(config.data);
  const auto network = network_of(dataset.info, context);
  const auto task = make_task(config.task, network, dataset.info);
  const auto& loader_config = config.data.loader;
  const auto sampler =
      data::training_sampler(*dataset.source, loader_config.batch_size, config.seed, /*ranks=*/1, config.data.sampler);
  data::Loader loader(dataset, *sampler, data::Mode::kTrain, loader_config, context);
  loader.start(0);
  Gathered gathered;
  for (int64_t step = 0; std::ssize(gathered.lines) < count; ++step) {
    auto batch = loader.next();
    if (!batch) break;
    const auto seed = mix_seed({config.seed, /*rank=*/0, static_cast<uint64_t>(step), /*micro_step=*/0});
    task->prepare(*batch, {.step = step, .generator = at::detail::createCPUGenerator(seed)}, /*training=*/true);
    const auto missing = count - std::ssize(gathered.lines);
    if (network.forecaster()) gather_embeddings(*network.forecaster(), *batch, missing, gathered);
    gather(*batch, dataset.info, missing, gathered);
  }
  return gathered;
}

/// Small maps are enlarged, each pixel to a square.
Image grid_of(const std::vector<Image>& pictures) {
  constexpr int64_t kSide = 112;
  int64_t side = 1;
  for (const auto& picture : pictures) side = std::max({side, picture.width, picture.height});
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(pictures.size()))));
  return data::image::grid_of(pictures, columns, std::max<int64_t>(1, kSide / side));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

SamplePictures write_samples(const ExperimentConfig& config, const NetworkOf& network_of, const fs::path& folder,
                             int64_t count) {
  const auto gathered = first_samples(config, network_of, count);
  if (gathered.pictures.empty()) throw UserError({"data", "its samples hold no map to show", ""});
  fs::create_directories(folder);
  SamplePictures written{.count = std::ssize(gathered.lines), .images = {}, .text = folder / "samples.txt"};
  for (const auto& [field, pictures] : gathered.pictures) {
    written.images.push_back(folder / (field + ".png"));
    io::write_file_atomically(written.images.back(), text_of(data::image::encode_png(grid_of(pictures))));
  }
  std::string lines;
  for (const auto& line : gathered.lines) lines += line;
  io::write_file_atomically(written.text, lines);
  return written;
}

}  // namespace unireplk::runner
