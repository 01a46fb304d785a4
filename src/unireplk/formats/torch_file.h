#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/core/result.h"
#include "unireplk/formats/dtype.h"
#include "unireplk/formats/pickle.h"
#include "unireplk/formats/zip.h"

/// Files of `torch.save`: the zip archive of PyTorch 1.6 and later, and the five pickles from before (spec: model,
/// section 9.2).
namespace unireplk::formats {

constexpr int kTorchMaxDimensions = 64;

/// Numbers in a file, one after the other; several tensors may look at the same ones.
struct TorchStorage {
  std::string key;
  DType dtype = DType::kU8;
  int64_t elements = 0;
};

/// A view of a storage. Every element it reaches lies within.
struct TorchTensor {
  size_t storage = 0;  ///< place in TorchFile::storages()
  DType dtype = DType::kU8;
  int64_t offset = 0;  ///< of the first element, in elements
  std::vector<int64_t> shape = {};
  std::vector<int64_t> strides = {};  ///< in elements, >= 0; 0 repeats an element
};

/// A parsed file: its pickle as data, and where its storages lie.
class TorchFile {
 public:
  /// Bytes of `file` must outlive the object. Nothing in the file is run: a pickle that asks for a class or function
  /// which no weights need (`posix.system`) is refused by its name. \param place  the file, named in problems.
  static Result<TorchFile> open(std::span<const std::byte> file, const std::string& place);

  const Pickle& pickle() const { return pickle_; }
  const std::vector<TorchStorage>& storages() const { return storages_; }
  const std::string& place() const { return place_; }
  int64_t file_bytes() const { return file_bytes_; }

  /// True when the value is a tensor or parameter, sound or not.
  bool is_tensor(PickleId id) const;

  /// The tensor that a value is; refused when it is none, or reaches out of its storage.
  Result<TorchTensor> tensor(PickleId id) const;

  /// The bytes of a storage: elements * size of its dtype, little-endian, checksum right where the file has one.
  Result<ZipContent> read(size_t storage) const;

 private:
  friend class TorchFileReader;
  TorchFile() = default;

  std::string place_;
  int64_t file_bytes_ = 0;
  Pickle pickle_;
  std::vector<TorchStorage> storages_;
  std::map<PickleId, size_t> storage_of_;           // of persistent ids
  std::optional<ZipArchive> archive_;               // the zip form
  std::string root_;                                // of names in the archive, "archive/"
  std::vector<std::span<const std::byte>> legacy_;  // the other form: bytes by place in storages_
};

/// What a dictionary of tensors holds.
struct TorchStateDict {
  std::string key;  ///< where it stood in the file: "model"; empty for the whole
  std::vector<std::pair<std::string, TorchTensor>> tensors;
  std::vector<std::string> others;   ///< what is no tensor, in words: `epoch: an int`
  std::vector<std::string> ignored;  ///< keys beside `key` that were not looked at
};

/// Find the weights in a file. Dictionaries within are flattened, their keys joined by dots.
///
/// \param key  the dictionary to take, dots lead into dictionaries within. Empty: the averaged weights when there are
///             any, as timm has it (`state_dict_ema`, `model_ema`), else `state_dict`, `model` or `module`, else all.
/// Refused: no such key, names that repeat, tensors that reach out of their storage, and views that would unfold to
/// more than kZipGrowth times the file and kZipAllowance.
Result<TorchStateDict> torch_state_dict(const TorchFile& file, const std::string& key);

}  // namespace unireplk::formats
