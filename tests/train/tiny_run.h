#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <numeric>
#include <set>

#include "support/captured_log.h"
#include "unireplk/nn/layers.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/train/trainer.h"

/// A whole training run that takes milliseconds.
namespace unireplk::test {

/// Images of 2 x 2 grey pixels, made in memory. One of the first three pixels is brighter: its number is the class.
class Dots : public data::Source {
 public:
  explicit Dots(int64_t size, std::set<int64_t> bad = {}) : size_(size), bad_(std::move(bad)) {}

  int64_t size() const override { return size_; }
  Result<data::Record> read(int64_t index) const override {
    if (bad_.contains(index)) return Problem{format("dot{}.png", index), "truncated", ""};
    const int64_t label = index % 3;
    at::Tensor image = at::arange(4, at::kLong).mul(37).add(index * 13).remainder(64);
    image[label] += 120;
    return data::Record{.payload = image.to(at::kByte).view({2, 2, 1}),
                        .target = {{"label", at::full({}, label, at::kLong)}},
                        .key = {},
                        .source = where(index)};
  }
  DataInfo info() const override {
    return {.fields = {{.name = "label", .dtype = at::kLong, .shape = {}, .meaning = ""}},
            .classes = {"first", "second", "third"},
            .constants = {}};
  }

 private:
  int64_t size_;
  std::set<int64_t> bad_;
};

/// Adds a random grey level to the last pixel.
class Noise : public data::Pipeline {
 public:
  Result<std::vector<Sample>> apply(const data::Record& record, const Draw& draw) const override {
    RandomStream random = draw.stream(0);
    at::Tensor image = std::get<at::Tensor>(record.payload).clone();
    image[1][1] += random.integer(0, 99);
    Sample sample{.fields = record.target, .key = record.key, .source = record.source};
    sample.fields["image"] = image;
    return std::vector<Sample>{sample};
  }
  DataInfo describe(DataInfo source) const override {
    source.fields.push_back({.name = "image", .dtype = at::kByte, .shape = {2, 2, 1}, .meaning = ""});
    source.constants["mean"] = at::full({1}, 0.3f);
    source.constants["std"] = at::full({1}, 0.25f);
    return source;
  }
};

/// Two layers with everything that makes resuming hard: batch statistics, and dropout from the step's generator.
struct TinyNetImpl : torch::nn::Module {
  TinyNetImpl() : first(4, 8, true, at::kFloat), norm(8, at::kFloat), head(8, 3, true, at::kFloat) {
    register_module("first", first);
    register_module("norm", norm);
    register_module("head", head);
    const at::NoGradGuard no_grad;
    first->weight.copy_((at::arange(32, at::kFloat) * 0.9).sin().view({8, 4}));
    head->weight.copy_((at::arange(24, at::kFloat) * 1.7).sin().view({3, 8}) * 0.1);
  }

  at::Tensor forward(const at::Tensor& x, std::optional<at::Generator> generator) {
    at::Tensor y = norm(first(x.flatten(1))).relu();
    if (is_training()) y = y * at::bernoulli(at::full_like(y, 0.8), std::move(generator)) / 0.8;
    return head(y);
  }

  void observe(const at::Tensor& x, std::optional<at::Generator>, const nn::PartObserver& observer) {
    const at::NoGradGuard no_grad;
    const auto hidden = first(x.flatten(1));
    observer("first", hidden);
    const auto normed = norm->forward(hidden, {.update_statistics = false});
    observer("norm", normed);
    observer("head", head(normed.relu()));
  }

  nn::Linear first;
  nn::BatchNorm norm;
  nn::Linear head;
};

/// Classification whose losses a test may change.
class TinyTask : public tasks::Classification {
 public:
  using ChangeLosses = std::function<void(const tasks::Step&, const Batch&, tasks::Losses&)>;

  TinyTask(std::shared_ptr<TinyNetImpl> net, const DataInfo& info, ChangeLosses change)
      : Classification({}, tasks::network_of(std::move(net)), info), change_(std::move(change)) {}

  void prepare(Batch& batch, const tasks::Step& step, bool training) override {
    Classification::prepare(batch, step, training);
    if (change_batch && training) change_batch(step, batch);
    if (before_evaluation && !training) before_evaluation();
  }

  void observe(const Batch& batch, const tasks::Step& step, const tasks::PartObserver& observer) override {
    if (before_observing) before_observing();
    Classification::observe(batch, step, observer);
  }

  tasks::Losses losses(const Batch& batch, const tasks::Step& step) override {
    auto losses = Classification::losses(batch, step);
    if (change_) change_(step, batch, losses);
    return losses;
  }

  std::function<void(const tasks::Step&, Batch&)> change_batch = {};
  std::function<void()> before_evaluation = {}, before_observing = {};  ///< of each batch; may throw

 private:
  ChangeLosses change_;
};

/// Four epochs of six steps.
inline train::TrainConfig tiny_config() {
  config::Registry<train::MakeOptimizer> optimizers{"optimizer"};
  optimizers.add<train::AdamWConfig>("adamw", "", train::make_adamw);
  config::Registry<train::MakeSchedule> schedules{"schedule"};
  schedules.add<train::CosineConfig>("cosine", "", train::make_cosine);
  train::TrainConfig config;
  config.epochs = 4;
  config.optimizer = config::Choice<train::MakeOptimizer>::of(optimizers, "adamw", train::AdamWConfig{.lr = 0.05});
  config.schedule = config::Choice<train::MakeSchedule>::of(
      schedules, "cosine", train::CosineConfig{.warmup = {.warmup_steps = 3}, .weight_decay_end = {}});
  config.checkpoint.every_minutes.reset();
  return config;
}

struct TinySetting {
  int64_t items = 24;
  int64_t batch_size = 4;
  int64_t batch_multiple = 1;
  std::set<int64_t> bad = {};
  double max_bad_fraction = 0.2;
  bool validates = true;
  bool tests = false;
  uint64_t seed = 5;
  std::function<bool()> stop_requested = {};
  TinyTask::ChangeLosses change_losses = {};
  std::function<std::unique_ptr<train::GraphRecorder>()> make_recorder = {};
  at::Device device = at::kCPU;
};

class TinyRun {
 public:
  explicit TinyRun(const std::filesystem::path& path, const train::TrainConfig& config = tiny_config(),
                   const TinySetting& setting = {})
      : dataset(data::make_dataset(std::make_shared<Dots>(setting.items, setting.bad), std::make_shared<Noise>())),
        validation_set(data::make_dataset(std::make_shared<Dots>(10), std::make_shared<Noise>())),
        test_set(data::make_dataset(std::make_shared<Dots>(17), std::make_shared<Noise>())),
        sampler(data::shuffled_sampler(setting.items, setting.batch_size, setting.seed)),
        validation_sampler(data::sequential_sampler(10, kBatchSize)),
        test_sampler(data::sequential_sampler(17, kBatchSize)),
        context{.device = setting.device, .seed = setting.seed, .rank = {}},
        loader(dataset, *sampler, data::Mode::kTrain, loader_config(setting, setting.batch_size), context),
        validation_loader(validation_set, *validation_sampler, data::Mode::kEvaluation, loader_config(setting),
                          context),
        test_loader(test_set, *test_sampler, data::Mode::kEvaluation, loader_config(setting), context),
        task(on(setting.device), dataset.info, setting.change_losses),
        folder(path, /*resume=*/true),
        trainer(config, {.task = task,
                         .train_data = loader,
                         .batches_per_epoch = sampler->steps(0),
                         .batch_multiple = setting.batch_multiple,
                         .validation_data = setting.validates ? &validation_loader : nullptr,
                         .test_data = setting.tests ? &test_loader : nullptr,
                         .folder = folder,
                         .context = context,
                         .stop_requested = setting.stop_requested,
                         .recorder = setting.make_recorder ? setting.make_recorder() : nullptr}) {}

  static constexpr int64_t kBatchSize = 4;

  std::shared_ptr<TinyNetImpl> net = std::make_shared<TinyNetImpl>();
  data::Dataset dataset, validation_set, test_set;
  std::unique_ptr<data::Sampler> sampler, validation_sampler, test_sampler;
  Context context;
  data::Loader loader, validation_loader, test_loader;
  TinyTask task;
  train::RunFolder folder;
  train::Trainer trainer;

 private:
  const std::shared_ptr<TinyNetImpl>& on(at::Device device) {
    net->to(device);
    return net;
  }

  static data::LoaderConfig loader_config(const TinySetting& setting, int64_t batch_size = kBatchSize) {
    return {.batch_size = batch_size, .workers = 0, .max_bad_fraction = setting.max_bad_fraction};
  }
};

/// Keeps all that a trainer tells.
struct Recorder : train::Observer {
  void on_steps(std::span<const train::StepRecord> records) override {
    steps.insert(steps.end(), records.begin(), records.end());
    if (!records.empty()) readings.push_back(static_cast<int64_t>(records.size()));
  }
  void on_validation(const train::ValidationRecord& record) override { validations.push_back(record); }
  void on_test(const train::ValidationRecord& record) override { tests.push_back(record); }

  std::vector<int64_t> step_numbers() const {
    std::vector<int64_t> numbers;
    for (const auto& record : steps) numbers.push_back(record.step);
    return numbers;
  }

  std::vector<train::StepRecord> steps;
  std::vector<int64_t> readings;  ///< steps that arrived together
  std::vector<train::ValidationRecord> validations, tests;
};

/// 1, 2, ... last.
inline std::vector<int64_t> one_to(int64_t last) {
  std::vector<int64_t> numbers(static_cast<size_t>(last));
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

/// Run to the end, or to whatever it throws; the log is kept out of sight.
inline train::RunEnd run(TinyRun& tiny, Recorder& recorder) {
  const CapturedLog log;
  tiny.trainer.observe(recorder);
  return tiny.trainer.run();
}

}  // namespace unireplk::test
