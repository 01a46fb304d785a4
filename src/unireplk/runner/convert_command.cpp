#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "unireplk/core/log.h"
#include "unireplk/core/some_of.h"
#include "unireplk/io/weight_file.h"
#include "unireplk/runner/program.h"

namespace unireplk::runner {
namespace {

struct ConvertOptions {
  std::filesystem::path input, output;
  std::string key;
  bool skip_others = false;
};

const std::map<std::string, std::string> kPlainMetadata{{"format", "pt"}};  // what Python's readers look for

void require_tensors(const io::WeightFile& weights, const ConvertOptions& options) {
  if (!weights.others.empty() && !options.skip_others) {
    throw UserError(
        {options.input.string(),
         format("expected tensors alone, found {} other values: {}", weights.others.size(), some_of(weights.others)),
         "Name the dictionary of weights with --key, or leave the rest out with --skip-others."});
  }
  if (weights.content.tensors.empty()) {
    throw UserError(
        {options.input.string(), "expected tensors, found none", "Name the dictionary of weights with --key."});
  }
}

/// Metadata goes where it can: into a safetensors file.
void settle_metadata(io::TensorFile& content, const ConvertOptions& options) {
  const bool torch_output = io::is_torch_name(options.output);
  if (torch_output && !content.metadata.empty() && content.metadata != kPlainMetadata) {
    log_warning("{}: its metadata is left out, a .pth file has no place for it", options.input.string());
  }
  if (!torch_output && content.metadata.empty()) content.metadata = kPlainMetadata;
}

ExitCode convert(const ConvertOptions& options, bool json) {
  io::require_writable_weight_name(options.output);
  auto weights = io::read_weights(options.input, options.key);
  require_tensors(weights, options);
  settle_metadata(weights.content, options);
  io::write_weights(options.output, weights.content);

  int64_t elements = 0;
  for (const auto& [name, tensor] : weights.content.tensors) elements += tensor.numel();
  const auto bytes = std::filesystem::file_size(options.output);
  if (json) {
    print_json({{"input", options.input.string()},
                {"key", weights.key},
                {"output", options.output.string()},
                {"tensors", weights.content.tensors.size()},
                {"elements", elements},
                {"bytes", bytes},
                {"left_out", weights.others}});
    return ExitCode::kGood;
  }
  if (!weights.key.empty()) {
    std::cout << format("taken: {} of {}", weights.key, options.input.string())
              << (weights.ignored.empty() ? "" : format(" (beside it: {})", some_of(weights.ignored))) << '\n';
  }
  if (!weights.others.empty()) std::cout << format("left out: {}\n", some_of(weights.others));
  std::cout << format("written: {} ({} tensors, {} elements, {:.1f} MB)\n", options.output.string(),
                      weights.content.tensors.size(), elements, static_cast<double>(bytes) / 1e6);
  return ExitCode::kGood;
}

}  // namespace

void add_convert(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("convert", "The same weights in another container: .safetensors or .pth.");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("WEIGHTS", options->input, "File to read: .safetensors, .pth, .pt, .bin, .ckpt or .pth.tar.")
      ->required();
  command->add_option("--output,OUTPUT", options->output, "File to write: NAME.safetensors, NAME.pth or NAME.pt.")
      ->required();
  command->add_option("--key", options->key,
                      "Dictionary of a .pth file to take, as model or a.b; else the averaged weights, state_dict, "
                      "model or module, whichever is there first, or all.");
  command->add_flag("--skip-others", options->skip_others, "Leave out what is no tensor, where it would be an error.");
  command->callback(
      [options, &program] { program.run = [options, &program] { return convert(*options, program.json); }; });
}

}  // namespace unireplk::runner
