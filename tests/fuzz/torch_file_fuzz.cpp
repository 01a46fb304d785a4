#include "unireplk/formats/torch_file.h"

#include <map>
#include <string>

#include "fuzz/target.h"
#include "unireplk/formats/zip_writer.h"

namespace unireplk::test {
namespace {

/// Everything that reading a .pth file does but copying numbers: zip, pickle, the state dictionary, the bytes of
/// storages. Past the header: the table of the archive is sound, or all pickles of a file without one.
bool try_torch_file(std::span<const std::byte> bytes) {
  const auto file = formats::TorchFile::open(bytes, "fuzz.pth");
  if (!file) return formats::is_zip(bytes) && formats::ZipArchive::open(bytes, "fuzz.pth").has_value();
  const auto dict = formats::torch_state_dict(*file, "");
  if (!dict) return true;
  for (const auto& [name, tensor] : dict->tensors) {
    const auto numbers = file->read(tensor.storage);
    if (!numbers || std::ranges::find(tensor.shape, 0) != tensor.shape.end()) continue;
    int64_t last = tensor.offset;
    for (size_t i = 0; i < tensor.shape.size(); ++i) last += (tensor.shape[i] - 1) * tensor.strides[i];
    require((last + 1) * formats::size_in_bytes(tensor.dtype) <= std::ssize(numbers->bytes()),
            "a view leaves its storage");
  }
  return true;
}

using Parts = std::map<std::string, Bytes>;

Bytes archive_of(const Parts& parts) {
  Bytes written;
  formats::ZipWriter writer(
      [&](std::span<const std::byte> part) { written.insert(written.end(), part.begin(), part.end()); });
  for (const auto& [name, data] : parts) writer.add(name, data);
  writer.finish();
  return written;
}

/// What an archive holds; what is no archive becomes a pickle.
Parts parts_of(const Bytes& bytes) {
  const auto archive = formats::is_zip(bytes) ? formats::ZipArchive::open(bytes, "") : Problem{};
  if (!archive || archive->entries().empty()) return {{"a/data.pkl", bytes}, {"a/data/0", Bytes(64)}};
  Parts parts;
  for (const auto& [name, entry] : archive->entries()) {
    const auto content = archive->read(name);
    const auto data = content ? content->bytes() : entry.packed;
    parts.emplace(name, Bytes(data.begin(), data.end()));
  }
  return parts;
}

/// One entry of the archive, mostly the pickle, in an archive written anew.
void change_torch_file(Bytes& bytes, const Change& change, std::mt19937& random) {
  Parts parts = parts_of(bytes);
  const size_t drawn = random() % parts.size(), takes_pickle = random() % 4;
  size_t index = 0;
  for (auto& [name, data] : parts) {
    if (takes_pickle ? name.ends_with("data.pkl") : index == drawn) change(data);
    ++index;
  }
  bytes = archive_of(parts);
}

}  // namespace

const Target kTarget{.try_bytes = try_torch_file, .change_within = change_torch_file};

}  // namespace unireplk::test
