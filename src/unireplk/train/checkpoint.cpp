#include "unireplk/train/checkpoint.h"

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "unireplk/core/error.h"
#include "unireplk/formats/checksum.h"
#include "unireplk/formats/json.h"
#include "unireplk/formats/json_object.h"
#include "unireplk/io/files.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kFormatVersion = 1;
constexpr const char* kStateFile = "state.json";
constexpr const char* kDamaged = "The checkpoint is damaged: use another one.";

uint32_t crc32_of(std::string_view text) { return formats::crc32_of(std::as_bytes(std::span(text))); }

uint32_t crc32_of_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> chunk(size_t{1} << 20);
  uint32_t crc = 0;
  while (stream.read(chunk.data(), static_cast<std::streamsize>(chunk.size())), stream.gcount() > 0) {
    const std::span read(chunk.data(), static_cast<size_t>(stream.gcount()));
    crc = formats::crc32_of(std::as_bytes(read), crc);
  }
  return crc;
}

Json fingerprint(const fs::path& file) { return {{"bytes", fs::file_size(file)}, {"crc32", crc32_of_file(file)}}; }

std::string tensor_file_name(const std::string& section) { return section + ".safetensors"; }

void write_tensors(const fs::path& path, const io::StateBuffer& state) {
  io::TensorFile file = state.tensors();
  file.metadata = {{"format", "pt"}, {"format_version", format("{}", kFormatVersion)}};
  io::write_safetensors(path, file);
}

void verify_file(const fs::path& path, const formats::JsonObject& expected) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) throw UserError({path.string(), "cannot be read: " + error.message(), kDamaged});
  const auto expected_bytes = expected.get<int64_t>("bytes");
  if (static_cast<int64_t>(bytes) != expected_bytes) {
    throw UserError({path.string(), format("expected {} bytes, got {}", expected_bytes, bytes), kDamaged});
  }
  if (crc32_of_file(path) != expected.get<int64_t>("crc32")) {
    throw UserError({path.string(), "the checksum does not fit the content", kDamaged});
  }
}

/// The verified content of state.json.
Json read_state_file(const fs::path& path) {
  auto parsed = formats::parse_json(io::read_file(path), path.string());
  if (!parsed) throw UserError({path.string(), parsed.problem().message, kDamaged});
  Json document = std::move(parsed).value();
  const formats::JsonObject object(document, path.string(), kDamaged);
  const auto version = object.get<int64_t>("format_version");
  if (version > kFormatVersion) {
    throw UserError({path.string(), format("format version {} is newer than {}", version, kFormatVersion),
                     "Use a newer unireplk."});
  }
  if (version < 1) throw UserError({path.string(), format("there is no format version {}", version), kDamaged});
  if (crc32_of(object.object("checkpoint").value().dump()) != object.get<int64_t>("crc32")) {
    throw UserError({path.string(), "the checksum does not fit the content", kDamaged});
  }
  return std::move(document.at("checkpoint"));
}

/// Size and checksum of every file, by name. \param document  has to outlive them.
formats::JsonObject files_of(const Json& document, const fs::path& folder) {
  return formats::JsonObject(document, (folder / kStateFile).string(), kDamaged).object("files");
}

}  // namespace

void Checkpoint::write(const fs::path& folder, int64_t step, const std::vector<Section>& sections) {
  Json files = Json::object();
  Json state = Json::object();
  for (const auto& section : sections) {
    io::StateBuffer buffer;
    section.state->save(buffer);
    state[section.name] = Json::parse(buffer.scalars_json());
    if (!buffer.has_tensors()) continue;
    const std::string name = tensor_file_name(section.name);
    write_tensors(folder / name, buffer);
    files[name] = fingerprint(folder / name);
  }
  const Json checkpoint = {{"step", step}, {"files", std::move(files)}, {"state", std::move(state)}};
  const Json document = {
      {"format_version", kFormatVersion}, {"crc32", crc32_of(checkpoint.dump())}, {"checkpoint", checkpoint}};
  io::write_file_atomically(folder / kStateFile, document.dump(1) + '\n');
}

Checkpoint Checkpoint::read(const fs::path& folder) {
  const fs::path state_file = folder / kStateFile;
  const Json document = read_state_file(state_file);
  const formats::JsonObject object(document, state_file.string(), kDamaged);
  const auto files = files_of(document, folder), state = object.object("state");
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  checkpoint.step_ = object.get<int64_t>("step");
  for (const auto& name : files.keys()) verify_file(folder / name, files.object(name));
  for (const auto& name : state.keys()) {
    const std::string file = tensor_file_name(name);
    io::TensorFile tensors;
    if (files.has(file)) tensors = io::read_safetensors(folder / file);
    const std::string place = state_file.string() + ": " + name;
    checkpoint.sections_.emplace(name,
                                 io::StateBuffer::from(std::move(tensors), state.object(name).value().dump(), place));
  }
  return checkpoint;
}

bool Checkpoint::names(const fs::path& folder, const std::string& file) {
  const Json document = read_state_file(folder / kStateFile);
  return files_of(document, folder).has(file);
}

void Checkpoint::verify(const fs::path& folder, const std::string& file) {
  const Json document = read_state_file(folder / kStateFile);
  verify_file(folder / file, files_of(document, folder).object(file));
}

void Checkpoint::restore(const std::vector<Section>& sections) const {
  for (const auto& section : sections) {
    const auto found = sections_.find(section.name);
    if (found == sections_.end()) {
      throw UserError({folder_.string(), "holds no state of \"" + section.name + '"',
                       "Resume with the settings the run was started with."});
    }
    section.state->load(found->second);
  }
}

}  // namespace unireplk::train
