#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace unireplk::train {

/// Where a run keeps its checkpoints.
inline std::filesystem::path checkpoints_of(const std::filesystem::path& run) { return run / "checkpoints"; }

/// The folder of one run. While the object lives, this process alone may write there.
class RunFolder {
 public:
  /// Make the folder, or take up an existing one.
  /// \param resume  false: a folder with anything in it is refused. True: a missing one is made all the same.
  /// \throws UserError when it is refused, held by another process or cannot be made.
  RunFolder(std::filesystem::path path, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return checkpoints_of(path_); }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path profile() const { return path_ / "profile"; }

  /// The text of config.yaml that the run was started with; nothing in a new run.
  std::optional<std::string> config() const;
  void write_config(std::string_view yaml) const;

 private:
  void lock();
  bool has_content() const;

  std::filesystem::path path_;
  int lock_ = -1;  ///< descriptor of the lock file
};

}  // namespace unireplk::train
