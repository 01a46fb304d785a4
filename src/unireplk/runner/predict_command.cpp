#include <ATen/ops/isfinite.h>
#include <c10/core/InferenceMode.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <span>

#include "unireplk/formats/csv.h"
#include "unireplk/formats/timestamp.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/weights.h"

namespace unireplk::runner {
namespace {

struct PredictOptions {
  std::filesystem::path weights;
  std::vector<std::filesystem::path> files;
  std::string device = "auto";
  int64_t threads = 0;
  int64_t top = 5;
};

std::vector<Sample> samples_of(const std::filesystem::path& file, const data::Pipeline& pipeline) {
  const data::Record record{.payload = file, .target = {}, .key = {}, .source = {.file = file.string()}};
  return pipeline.apply(record, Draw{}).value_or_throw();
}

/// \throws UserError when a prediction holds what is no finite number.
void require_finite(const tasks::Prediction& prediction, const std::filesystem::path& file) {
  const auto& values = prediction.rows.values;
  const bool is_finite =
      std::ranges::all_of(prediction.items, [](const auto& item) { return std::isfinite(item.score); }) &&
      (!values.defined() || at::isfinite(values).all().item<bool>());
  if (is_finite) return;
  throw UserError({file.string(), "expected finite numbers from the network, got others",
                   "The weights are those of a training that diverged, or the file holds extreme values."});
}

/// A forecast as a CSV table, or as one line of JSON.
/// \param is_named  tell which file the table follows: one alone is a CSV file.
void print_rows(const std::filesystem::path& file, const tasks::Prediction::Rows& rows, bool is_named, bool json) {
  const auto values = rows.values.contiguous();
  nlohmann::ordered_json line{{"file", file.string()}, {"names", rows.names}, {"rows", nlohmann::json::array()}};
  if (!json) {
    if (is_named) std::cout << file.string() << '\n';
    std::cout << "date";
    for (const auto& name : rows.names) std::cout << ',' << formats::csv_field(name);
    std::cout << '\n';
  }
  for (int64_t i = 0; i < values.size(0); ++i) {
    const std::span row(values[i].const_data_ptr<double>(), static_cast<size_t>(values.size(1)));
    const auto stamp = formats::timestamp_text(rows.times[i].item<int64_t>());
    if (json) {
      line["rows"].push_back({{"date", stamp}, {"values", std::vector<double>(row.begin(), row.end())}});
    } else {
      std::cout << format("{},{:.6g}\n", stamp, fmt::join(row, ","));
    }
  }
  if (json) print_json(line);
}

void print(const std::filesystem::path& file, const tasks::Prediction& prediction, const PredictOptions& options,
           bool json) {
  if (prediction.rows.values.defined()) return print_rows(file, prediction.rows, options.files.size() > 1, json);
  const auto count = std::min<size_t>(prediction.items.size(), static_cast<size_t>(options.top));
  if (json) {
    auto items = nlohmann::ordered_json::array();
    for (size_t i = 0; i < count; ++i)
      items.push_back({{"label", prediction.items[i].label}, {"score", prediction.items[i].score}});
    print_json({{"file", file.string()}, {"classes", items}});
    return;
  }
  std::cout << file.string() << '\n';
  for (size_t i = 0; i < count; ++i)
    std::cout << format("  {:>6.2f} %  {}\n", 100 * prediction.items[i].score, prediction.items[i].label);
}

ExitCode predict(const PredictOptions& options, const Program& program) {
  const auto registries = program.registries();
  const Context context = make_context(options.device, options.threads);
  auto file = exporting::read_deploy_file(options.weights);
  const auto parts = deploy_parts(file, options.weights, registries);
  const auto pipeline = parts.pipeline.make(file.data, data::Mode::kEvaluation);
  file.network->to(context.device);
  file.network->eval();
  const auto task = make_task(parts.task, file.network, file.data);
  const c10::InferenceMode guard;
  std::vector<Problem> problems;  // of single files: the others are told all the same
  for (const auto& path : options.files) {
    try {
      auto batch = data::make_batch(samples_of(path, *pipeline), file.data).to(context.device);
      task->prepare(batch, {}, /*training=*/false);
      for (const auto& prediction : task->predict(batch)) {
        require_finite(prediction, path);
        print(path, prediction, options, program.json);
      }
    } catch (const UserError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return ExitCode::kGood;
}

}  // namespace

void add_predict(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("predict", "What a deploy file says of files; it needs nothing else.");
  auto options = std::make_shared<PredictOptions>();
  command->add_option("WEIGHTS", options->weights, "Deploy file.")->required();
  command->add_option("FILE", options->files, "Files to look at.")->required();
  command->add_option("--device", options->device, "auto, cpu, cuda or cuda:N.")->capture_default_str();
  command->add_option("--threads", options->threads, "Threads of one operation; 0 takes every core.")
      ->check(CLI::Range(0, kMostThreads))
      ->capture_default_str();
  command->add_option("--top", options->top, "Classes to print.")
      ->check(CLI::Range(1, kMostCounted))
      ->capture_default_str();
  command->callback([options, &program] { program.run = [options, &program] { return predict(*options, program); }; });
}

}  // namespace unireplk::runner
