#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/analysis/bench.h"
#include "unireplk/analysis/bench_loader.h"
#include "unireplk/analysis/bench_ops.h"
#include "unireplk/analysis/bench_products.h"
#include "unireplk/core/clock.h"
#include "unireplk/core/recycler.h"
#include "unireplk/data/audio/audio_pipeline.h"
#include "unireplk/data/audio/filterbank.h"
#include "unireplk/data/audio/sound.h"
#include "unireplk/data/audio/waveform.h"
#include "unireplk/data/image/jpeg_yardstick.h"
#include "unireplk/data/read_bytes.h"
#include "unireplk/io/tensor_file.h"
#include "unireplk/runner/child_program.h"
#include "unireplk/runner/experiment.h"
#include "unireplk/runner/program.h"

namespace unireplk::runner {
namespace {

struct BenchOptions {
  analysis::BenchOptions bench;
  std::string device = "auto";
  std::string form = "deploy";
  std::string until = "step";
  std::string precision = "fp32";

  const analysis::BenchOptions& resolved() {
    bench.context.device = resolve_device(device);
    bench.precision = train::precision_named(precision);
    at::set_num_threads(static_cast<int>(bench.context.threads));
    return bench;
  }
};

/// A pipe whose two ends close by themselves.
class Pipe {
 public:
  Pipe() { UNIREPLK_CHECK(pipe2(ends_, O_CLOEXEC) == 0, "no pipe: {}", std::strerror(errno)); }
  ~Pipe() {
    close_write();
    close(ends_[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int write_end() const { return ends_[1]; }
  int read_end() const { return ends_[0]; }
  void close_write() {
    if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
  }

 private:
  int ends_[2] = {-1, -1};
};

/// Milliseconds from starting this program anew until it has done its first pass (it writes a byte then).
double time_fresh_process(const std::vector<std::string>& arguments) {
  Pipe pipe;
  const Stopwatch clock;
  ChildProgram child(arguments, pipe.write_end(), STDERR_FILENO);
  pipe.close_write();
  char byte = 0;
  const bool answered = read(pipe.read_end(), &byte, 1) == 1;
  const double milliseconds = clock.seconds() * 1e3;
  const int exit_code = child.wait();
  if (exit_code == static_cast<int>(ExitCode::kUser)) {
    throw UserError({"bench startup", "the measured process could not do its first pass", "It has told above why."});
  }
  UNIREPLK_CHECK(answered && exit_code == 0, "the measured process failed with exit code {}", exit_code);
  return milliseconds;
}

nlohmann::json bench_startup(BenchOptions& options) {
  const auto& bench = options.resolved();
  const std::vector<std::string> arguments{"bench",
                                           "first-pass",
                                           "--until=" + options.until,
                                           "--variant=" + bench.variant,
                                           "--batch=" + std::to_string(bench.batch),
                                           "--size=" + std::to_string(bench.size),
                                           "--classes=" + std::to_string(bench.classes),
                                           "--threads=" + std::to_string(bench.context.threads),
                                           "--device=" + options.device};
  std::vector<double> samples;
  for (int64_t i = 0; i < bench.warmup + bench.iterations; ++i) {
    const double milliseconds = time_fresh_process(arguments);
    if (i >= bench.warmup) samples.push_back(milliseconds);
  }
  auto report = analysis::bench_report(bench, {.wall = samples, .cpu = {}});
  report["until"] = options.until;
  return report;
}

ExitCode first_pass(BenchOptions& options) {
  analysis::first_pass(options.resolved(), options.until == "step");
  std::cout << '.' << std::flush;
  return ExitCode::kGood;
}

ExitCode print(const nlohmann::json& report) {
  print_json(report);
  return ExitCode::kGood;
}

void add_precision(CLI::App& command, BenchOptions& options) {
  command.add_option("--precision", options.precision, "fp32, or mixed: bf16 or fp16.")
      ->check(CLI::IsMember(train::precision_names()))
      ->capture_default_str();
}

void add_cuda_graphs(CLI::App& command, BenchOptions& options) {
  command.add_flag("--cuda-graphs", options.bench.cuda_graphs, "Record the step on a CUDA device, and time replays.");
}

struct LoaderOptions {
  Target target;
  int64_t batch = 64;
  int64_t iterations = 10;
  int64_t warmup = 2;
};

nlohmann::json bench_loader(const LoaderOptions& options, PluginRegistries registries) {
  auto overrides = options.target.overrides;
  overrides.push_back("data.loader.batch_size=" + std::to_string(options.batch));
  const auto config = load_experiment(options.target.path, overrides, registries);
  const Context context = make_context("cpu", 1, config.seed);
  const auto dataset = training_data(config.data);
  const auto network = new_network(config, dataset.info, context);
  const auto task = make_task(config.task, network, dataset.info);
  data::image::JpegYardstick yardstick;
  const analysis::LoaderBench bench{
      .source = dataset.source,
      .pipeline = config.data.pipeline.make(dataset.source->info(), data::Mode::kTrain),
      .task = task.get(),
      .decode_whole = [&](std::span<const std::byte> file) { return yardstick.decode(file); }};
  return analysis::bench_loader(
      bench, {.batch = options.batch, .iterations = options.iterations, .warmup = options.warmup, .context = context});
}

void add_bench_loader(CLI::App& bench, Program& program) {
  auto options = std::make_shared<LoaderOptions>();
  auto* command = bench.add_subcommand(
      "loader", "The training data of a config from files to what the network sees, on one thread.");
  add_target(*command, options->target, "CONFIG", "YAML file.");
  command->add_option("--batch", options->batch)->check(CLI::Range(1, kMostCounted))->capture_default_str();
  command->add_option("--iters", options->iterations)->check(CLI::Range(1, kMostCounted))->capture_default_str();
  command->add_option("--warmup", options->warmup)->check(CLI::Range(0, kMostCounted))->capture_default_str();
  command->callback([options, &program] {
    program.run = [options, &program] { return print(bench_loader(*options, program.registries())); };
  });
}

struct SpectrogramOptions {
  std::vector<std::string> sounds;
  std::string output;  ///< empty: none
  int64_t iterations = 20;
  int64_t warmup = 3;
};

/// Sounds as the pipeline `audio` hears them with its defaults, and their log-mel spectrograms.
class Spectrograms {
 public:
  /// \throws UserError for a file that cannot be decoded, or is shorter than one frame.
  explicit Spectrograms(const std::vector<std::string>& sounds)
      : filterbank_({.rate = shape_.sample_rate, .bins = shape_.num_mel_bins}) {
    const data::audio::WaveformReader reader(shape_.sample_rate);
    for (const auto& sound : sounds) waveforms_.push_back(at::tensor(read(sound, reader)));
  }

  /// One after the other.
  void compute() {
    maps_.clear();
    for (const auto& waveform : waveforms_) maps_.push_back(map_of(waveform));
  }

  double seconds_of_sound() const {
    int64_t samples = 0;
    for (const auto& waveform : waveforms_) samples += waveform.numel();
    return static_cast<double>(samples) / static_cast<double>(shape_.sample_rate);
  }

  /// `waveform.{i}` and, as computed last, `log_mel.{i}`, [bins, frames].
  io::TensorFile content() const {
    io::TensorFile file{.tensors = {}, .metadata = {{"sample_rate", std::to_string(shape_.sample_rate)}}};
    for (size_t i = 0; i < maps_.size(); ++i) {
      file.tensors.emplace_back(format("waveform.{}", i), waveforms_[i]);
      file.tensors.emplace_back(format("log_mel.{}", i), maps_[i]);
    }
    return file;
  }

  nlohmann::json options() const {
    return {{"sounds", waveforms_.size()},
            {"sample_rate", shape_.sample_rate},
            {"num_mel_bins", shape_.num_mel_bins},
            {"threads", 1},
            {"device", "cpu"}};
  }

 private:
  static constexpr size_t kMostKept = size_t{64} << 20;

  std::vector<float> read(const std::string& place, const data::audio::WaveformReader& reader) {
    const auto file = data::read_bytes(place).value_or_throw();
    auto samples =
        reader.read(data::audio::decode(file.bytes, place).value_or_throw(), place, memory_).value_or_throw();
    if (filterbank_.frames(std::ssize(samples)) > 0) return samples;
    throw UserError({.place = place,
                     .message = format("expected at least the {} samples of a frame, got {}",
                                       filterbank_.frame_samples(), samples.size()),
                     .cure = "Name a longer sound."});
  }

  at::Tensor map_of(const at::Tensor& waveform) {
    const std::span samples(waveform.const_data_ptr<float>(), static_cast<size_t>(waveform.numel()));
    const int64_t frames = filterbank_.frames(waveform.numel());
    at::Tensor map = at::empty({shape_.num_mel_bins, frames});
    filterbank_.apply(samples, map.mutable_data_ptr<float>(), frames, memory_);
    return map;
  }

  const data::audio::AudioPipelineConfig shape_;
  data::audio::Filterbank filterbank_;
  Recycler memory_{kMostKept};
  std::vector<at::Tensor> waveforms_, maps_;
};

nlohmann::json bench_spectrogram(const SpectrogramOptions& options) {
  at::set_num_threads(1);
  Spectrograms spectrograms(options.sounds);
  const analysis::BenchOptions bench{
      .iterations = options.iterations, .warmup = options.warmup, .context = make_context("cpu", 1, 0)};
  const auto samples = analysis::time_calls(bench, [&] { spectrograms.compute(); });
  if (!options.output.empty()) io::write_safetensors(options.output, spectrograms.content());
  auto report = analysis::bench_report(bench, samples);
  report["options"] = spectrograms.options();
  report["seconds_of_sound"] = spectrograms.seconds_of_sound();
  report["seconds_of_sound_per_second"] = spectrograms.seconds_of_sound() / report["median_ms"].get<double>() * 1e3;
  return report;
}

void add_bench_spectrogram(CLI::App& bench, Program& program) {
  auto options = std::make_shared<SpectrogramOptions>();
  auto* command = bench.add_subcommand(
      "spectrogram",
      "Log-mel spectrograms of decoded sounds, of the pipeline `audio` with its defaults, on one thread.");
  command->add_option("SOUND", options->sounds, "Sound files.")->required();
  command
      ->add_option("--output", options->output,
                   "Also write waveforms and spectrograms, for the same measurement in tools/reference/bench.py.")
      ->type_name("FILE.safetensors");
  command->add_option("--iters", options->iterations)->check(CLI::Range(1, kMostCounted))->capture_default_str();
  command->add_option("--warmup", options->warmup)->check(CLI::Range(0, kMostCounted))->capture_default_str();
  command->callback([options, &program] { program.run = [options] { return print(bench_spectrogram(*options)); }; });
}

/// One measurement with the options all of them share.
CLI::App* add_measurement(CLI::App& bench, const char* name, const char* help, BenchOptions& options) {
  auto* command = bench.add_subcommand(name, help);
  auto& shared = options.bench;
  command->add_option("--variant", shared.variant, "Letter of a published variant.")->capture_default_str();
  command->add_option("--batch", shared.batch)->check(CLI::Range(1, kMostCounted))->capture_default_str();
  command->add_option("--size", shared.size, "Image side.")->check(CLI::Range(1, kMostPixels))->capture_default_str();
  command->add_option("--classes", shared.classes)->check(CLI::Range(1, kMostCounted))->capture_default_str();
  command->add_option("--threads", shared.context.threads)->check(CLI::Range(1, kMostThreads))->capture_default_str();
  command->add_option("--device", options.device, "auto, cpu, cuda or cuda:N.")->capture_default_str();
  command->add_option("--iters", shared.iterations)->check(CLI::Range(1, kMostCounted))->capture_default_str();
  command->add_option("--warmup", shared.warmup)->check(CLI::Range(0, kMostCounted))->capture_default_str();
  return command;
}

}  // namespace

void add_bench(CLI::App& app, Program& program) {
  auto* bench = app.add_subcommand("bench", "Measure speed; prints one JSON line.");
  bench->require_subcommand(1);
  auto options = std::make_shared<BenchOptions>();
  options->bench.context.threads = 2;

  auto* step = add_measurement(*bench, "train-step", "Forward, loss, backward, AdamW.", *options);
  add_precision(*step, *options);
  step->add_option("--drop-path", options->bench.drop_path)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  step->add_flag("--keep-branches", options->bench.keep_branches, "Keep dilated branches for backward.");
  add_cuda_graphs(*step, *options);
  step->callback(
      [=, &program] { program.run = [=] { return print(analysis::bench_train_step(options->resolved())); }; });

  auto* branches = add_measurement(
      *bench, "branches", "A training step against one without dilated branches beside the large kernels.", *options);
  add_precision(*branches, *options);
  add_cuda_graphs(*branches, *options);
  branches->callback(
      [=, &program] { program.run = [=] { return print(analysis::bench_branches(options->resolved())); }; });

  auto* inference = add_measurement(*bench, "inference", "Forward without gradients.", *options);
  add_precision(*inference, *options);
  inference->add_option("--form", options->form, "deploy, or train: the network as trained, in eval mode.")
      ->check(CLI::IsMember({"deploy", "train"}))
      ->capture_default_str();
  inference->callback([=, &program] {
    program.run = [=] { return print(analysis::bench_inference(options->resolved(), options->form == "deploy")); };
  });

  auto* ops = add_measurement(*bench, "ops", "Depthwise operators against LibTorch's, in both its layouts.", *options);
  add_precision(*ops, *options);
  auto table = std::make_shared<std::string>();
  ops->add_option("--write-table", *table,
                  "Instead, measure which library computes the products of linear layers faster, and write that as a "
                  "table for src/unireplk/ops/product_tables.");
  ops->callback([=, &program] {
    program.run = [=] {
      const auto& resolved = options->resolved();
      return print(table->empty() ? analysis::bench_ops(resolved) : analysis::write_product_table(resolved, *table));
    };
  });

  add_bench_loader(*bench, program);
  add_bench_spectrogram(*bench, program);

  const auto add_until = [&](CLI::App* command) {
    command->add_option("--until", options->until, "End of the measurement: the first forward or training step.")
        ->check(CLI::IsMember({"forward", "step"}))
        ->capture_default_str();
  };
  auto* startup = add_measurement(*bench, "startup", "Start of a process to its first pass.", *options);
  add_until(startup);
  startup->callback([=, &program] { program.run = [=] { return print(bench_startup(*options)); }; });

  auto* first = add_measurement(*bench, "first-pass", "What the processes of `startup` do.", *options);
  add_until(first);
  first->group("");  // not listed
  first->callback([=, &program] { program.run = [=] { return first_pass(*options); }; });
}

}  // namespace unireplk::runner
