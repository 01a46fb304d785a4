#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "unireplk/io/state_file.h"
#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// A part of a run's state under its name. Its tensors become NAME.safetensors, its scalars a part of state.json.
struct Section {
  std::string name;
  Stateful* state = nullptr;
};

/// The state of a run as it lies on disk:
///
///   step_000000123/{model,ema,optimizer,...}.safetensors
///   step_000000123/state.json    scalars, and size and checksum of every other file and of itself
class Checkpoint {
 public:
  /// Read and verify. \throws UserError naming the file that is missing, cut short, altered or of a newer version.
  static Checkpoint read(const std::filesystem::path& folder);

  /// Write all files into an existing folder.
  static void write(const std::filesystem::path& folder, int64_t step, const std::vector<Section>& sections);

  /// Whether a checkpoint has a file, "ema.safetensors", by its own account; it may have been lost since.
  static bool names(const std::filesystem::path& folder, const std::string& file);

  /// Verify one file of a checkpoint, "ema.safetensors". \throws UserError as read() does.
  static void verify(const std::filesystem::path& folder, const std::string& file);

  int64_t step() const { return step_; }
  const std::filesystem::path& folder() const { return folder_; }

  /// Give each section its state back. \throws UserError when the checkpoint lacks one.
  void restore(const std::vector<Section>& sections) const;

 private:
  std::filesystem::path folder_;
  int64_t step_ = 0;
  std::map<std::string, io::StateBuffer> sections_;
};

}  // namespace unireplk::train
