#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "unireplk/core/cpu_features.h"
#include "unireplk/data/image/rare_formats.h"
#include "unireplk/runner/program.h"
#include "unireplk/runner/version.h"
#include "unireplk/tensor/context.h"

namespace unireplk::runner {
namespace {

nlohmann::ordered_json examine() {
  nlohmann::ordered_json found;
  found["version"] = version_line();
  found["built_for_cuda"] = static_cast<bool>(UNIREPLK_BUILT_FOR_CUDA);
  found["instruction_set"] = best_instruction_set();
  found["cores"] = std::thread::hardware_concurrency();
  found["threads"] = at::get_num_threads();
  auto devices = nlohmann::ordered_json::array({describe_device(at::kCPU)});
  for (int i = 0; i < static_cast<int>(at::globalContext().hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0);
       ++i)
    devices.push_back(describe_device(at::Device(at::kCUDA, static_cast<at::DeviceIndex>(i))));
  found["devices"] = devices;
  found["device_auto"] = resolve_device("auto").str();
  const auto space = std::filesystem::space(std::filesystem::current_path());
  found["image_formats"] = data::image::readable_formats();
  found["free_gib_here"] = static_cast<double>(space.available) / (1024.0 * 1024.0 * 1024.0);
  return found;
}

/// What a user should change, one sentence each.
std::vector<std::string> advice(const nlohmann::ordered_json& found) {
  std::vector<std::string> lines;
  if (found["built_for_cuda"].get<bool>() && found["device_auto"] == "cpu") {
    lines.emplace_back("This program was built for CUDA and sees no GPU: check the driver with nvidia-smi.");
  }
  if (found["free_gib_here"].get<double>() < 1.0) {
    lines.emplace_back("Less than 1 GiB is free here: checkpoints may not fit. Set `output` to a folder elsewhere.");
  }
  return lines;
}

ExitCode doctor(bool json) {
  auto found = examine();
  const auto lines = advice(found);
  if (json) {
    found["advice"] = lines;
    print_json(found);
    return ExitCode::kGood;
  }
  for (const auto& [key, value] : found.items()) std::cout << format("{:<18}{}\n", key, value.dump());
  for (const auto& line : lines) std::cout << "! " << line << '\n';
  return ExitCode::kGood;
}

}  // namespace

void add_doctor(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("doctor", "What this program, this machine and its devices are.");
  command->callback([&program] { program.run = [&program] { return doctor(program.json); }; });
}

}  // namespace unireplk::runner
