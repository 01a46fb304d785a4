#include "unireplk/train/checkpoint.h"

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "unireplk/core/error.h"
#include "unireplk/formats/checksum.h"
#include "unireplk/formats/json.h"
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

void verify_file(const fs::path& path, const Json& expected) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) throw UserError({path.string(), "cannot be read: " + error.message(), kDamaged});
  if (bytes != expected.at("bytes").get<uintmax_t>()) {
    throw UserError(
        {path.string(), format("expected {} bytes, got {}", expected.at("bytes").get<uintmax_t>(), bytes), kDamaged});
  }
  if (crc32_of_file(path) != expected.at("crc32").get<uint32_t>()) {
    throw UserError({path.string(), "the checksum does not fit the content", kDamaged});
  }
}

/// The verified content of state.json.
Json read_state_file(const fs::path& path) {
  auto parsed = formats::parse_json(io::read_file(path), path.string());
  if (!parsed) throw UserError({path.string(), parsed.problem().message, kDamaged});
  Json document = std::move(parsed).value();
  const auto version = document.at("format_version").get<int64_t>();
  if (version > kFormatVersion) {
    throw UserError({path.string(), format("format version {} is newer than {}", version, kFormatVersion),
                     "Use a newer unireplk."});
  }
  if (version < 1) throw UserError({path.string(), format("there is no format version {}", version), kDamaged});
  if (crc32_of(document.at("checkpoint").dump()) != document.at("crc32").get<uint32_t>()) {
    throw UserError({path.string(), "the checksum does not fit the content", kDamaged});
  }
  return std::move(document.at("checkpoint"));
}

/// use(verified content of state.json, its path). \throws UserError when that is not what `use` looks for.
template <class Use>
auto with_state(const fs::path& folder, const Use& use) {
  const fs::path state_file = folder / kStateFile;
  try {
    return use(read_state_file(state_file), state_file);
  } catch (const Json::exception& error) {
    throw UserError({state_file.string(), std::string("not a state file: ") + error.what(), kDamaged});
  }
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
  return with_state(folder, [&](const Json& document, const fs::path& state_file) {
    Checkpoint checkpoint;
    checkpoint.folder_ = folder;
    checkpoint.step_ = document.at("step").get<int64_t>();
    for (const auto& [name, expected] : document.at("files").items()) verify_file(folder / name, expected);
    for (const auto& [name, scalars] : document.at("state").items()) {
      const std::string file = tensor_file_name(name);
      io::TensorFile tensors;
      if (document.at("files").contains(file)) tensors = io::read_safetensors(folder / file);
      const std::string place = state_file.string() + ": " + name;
      checkpoint.sections_.emplace(name, io::StateBuffer::from(std::move(tensors), scalars.dump(), place));
    }
    return checkpoint;
  });
}

bool Checkpoint::names(const fs::path& folder, const std::string& file) {
  return with_state(folder, [&](const Json& document, const fs::path&) { return document.at("files").contains(file); });
}

void Checkpoint::verify(const fs::path& folder, const std::string& file) {
  with_state(folder,
             [&](const Json& document, const fs::path&) { verify_file(folder / file, document.at("files").at(file)); });
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
