#include "unireplk/runner/run_data.h"

#include <nlohmann/json.hpp>

#include "unireplk/core/error.h"
#include "unireplk/export/network_json.h"
#include "unireplk/formats/json.h"
#include "unireplk/io/tensor_file.h"

namespace unireplk::runner {
namespace {

constexpr const char* kFile = "data.safetensors";
constexpr const char* kVersion = "1";

}  // namespace

void write_run_data(const std::filesystem::path& run, const DataInfo& info) {
  io::TensorFile file{
      .tensors = {info.constants.begin(), info.constants.end()},
      .metadata = {{"format", "pt"}, {"format_version", kVersion}, {"data", exporting::to_json(info).dump()}}};
  io::write_safetensors(run / kFile, file);
}

std::optional<DataInfo> read_run_data(const std::filesystem::path& run) {
  const auto path = run / kFile;
  if (!std::filesystem::exists(path)) return std::nullopt;
  const auto place = path.string();
  auto file = io::read_safetensors(path);
  const auto& version = file.metadata["format_version"];
  if (version != kVersion) {
    throw UserError({place, format("expected format version {}, got \"{}\"", kVersion, version),
                     "Read it with the version of the program that wrote it, or a newer one."});
  }
  const auto json = formats::parse_json(file.metadata["data"], place + ": data").value_or_throw();
  auto info = exporting::data_info_from_json(json, place + ": data");
  info.constants = {file.tensors.begin(), file.tensors.end()};
  return info;
}

}  // namespace unireplk::runner
