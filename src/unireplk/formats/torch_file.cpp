#include "unireplk/formats/torch_file.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "unireplk/formats/torch_types.h"

namespace unireplk::formats {
namespace {

using TorchBytes = std::span<const std::byte>;

constexpr std::string_view kUntypedStorage = "torch.storage.UntypedStorage";
constexpr std::string_view kTorchMagic{"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10};  // 0x1950a86a20f9469cfc6c
constexpr int64_t kLegacyProtocol = 1001;
constexpr size_t kMaxStorageKey = 64;

// What makes a tensor of a storage, and what wraps a tensor.
constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor";
constexpr std::string_view kRebuildTensor2 = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildTensor3 = "torch._utils._rebuild_tensor_v3";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kRebuildParameterWithState = "torch._utils._rebuild_parameter_with_state";

/// What training checkpoints hold besides tensors. Kept as names with arguments, and never built.
constexpr std::array kBystanders{
    std::string_view("argparse.Namespace"),
    std::string_view("pathlib.Path"),
    std::string_view("pathlib.PosixPath"),
    std::string_view("pathlib.PurePosixPath"),
    std::string_view("pathlib.WindowsPath"),
    std::string_view("pathlib.PureWindowsPath"),
    std::string_view("pathlib._local.PosixPath"),  // Python 3.13
    std::string_view("pathlib._local.WindowsPath"),
    std::string_view("numpy.core.multiarray.scalar"),
    std::string_view("numpy._core.multiarray.scalar"),
    std::string_view("numpy.dtype"),
    std::string_view("_codecs.encode"),
    std::string_view("torch.device"),
    std::string_view("torch.Size"),
};

bool is_maker(std::string_view global) {
  return global == kRebuildTensor || global == kRebuildTensor2 || global == kRebuildTensor3;
}

bool is_wrapper(std::string_view global) { return global == kRebuildParameter || global == kRebuildParameterWithState; }

bool weights_need(std::string_view global) {
  return is_maker(global) || is_wrapper(global) || global == kUntypedStorage || torch_storage_dtype(global) ||
         torch_dtype_named(global) || std::ranges::find(kBystanders, global) != kBystanders.end();
}

/// Refuses by throwing; TorchFile turns that into a Problem.
[[noreturn]] void refuse_torch(const std::string& place, std::string message,
                               std::string cure = "The file is damaged; make or download it again.") {
  throw UserError({.place = place, .message = std::move(message), .cure = std::move(cure)});
}

/// The name of what a call calls; empty when the value is no call.
std::string_view called(const Pickle& pickle, PickleId id) {
  const PickleValue& value = pickle[id];
  return value.kind == PickleKind::kCall ? std::string_view(pickle[value.items[0]].text) : std::string_view();
}

const std::vector<PickleId>& arguments_of(const Pickle& pickle, PickleId call) {
  return pickle[pickle[call].items[1]].items;
}

/// The tensor below the parameters that wrap it; nothing when there is none.
std::optional<PickleId> unwrapped(const Pickle& pickle, PickleId id) {
  for (int depth = 0; depth < kPickleMaxDepth; ++depth) {
    const auto name = called(pickle, id);
    if (is_maker(name)) return id;
    if (!is_wrapper(name) || arguments_of(pickle, id).empty()) return std::nullopt;
    id = arguments_of(pickle, id)[0];
  }
  return std::nullopt;
}

/// Whole numbers >= 0 of a tuple, list or torch.Size.
std::vector<int64_t> counts_of(const Pickle& pickle, PickleId id, const std::string& place) {
  if (called(pickle, id) == "torch.Size" && arguments_of(pickle, id).size() == 1) id = arguments_of(pickle, id)[0];
  const PickleValue& value = pickle[id];
  if (value.kind != PickleKind::kTuple && value.kind != PickleKind::kList) {
    refuse_torch(place, format("expected shape and strides to be tuples, got {}", name_of(value.kind)));
  }
  if (value.items.size() > kTorchMaxDimensions) {
    refuse_torch(place, format("expected at most {} dimensions, got {}", kTorchMaxDimensions, value.items.size()));
  }
  std::vector<int64_t> out;
  for (const PickleId item : value.items) {
    if (pickle[item].kind != PickleKind::kInt || pickle[item].integer < 0) {
      refuse_torch(place, "expected shape and strides to be whole numbers >= 0");
    }
    out.push_back(pickle[item].integer);
  }
  return out;
}

/// Elements of storage that a view reaches from its first to its last; nothing when that does not fit into int64.
std::optional<int64_t> reach_of(const TorchTensor& tensor) {
  if (std::ranges::find(tensor.shape, 0) != tensor.shape.end()) return 0;
  int64_t last = tensor.offset;
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    int64_t step = 0;
    if (__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return std::nullopt;
    }
  }
  int64_t reach = 0;
  if (__builtin_add_overflow(last, 1, &reach)) return std::nullopt;
  return reach;
}

void check_reach(const TorchTensor& tensor, int64_t elements, const std::string& place) {
  if (tensor.shape.size() != tensor.strides.size()) {
    refuse_torch(place, format("expected as many strides as dimensions, got {} and {}", tensor.strides.size(),
                               tensor.shape.size()));
  }
  auto extents = tensor.shape;
  for (int64_t& extent : extents) extent = std::max<int64_t>(extent, 1);  // strides of empty tensors must be countable
  const auto reach = reach_of(tensor);
  if (!reach || *reach > elements || !dense_bytes(tensor.dtype, extents)) {
    refuse_torch(place, format("the tensor needs {} elements, its storage has {}",
                               reach ? std::to_string(*reach) : "uncountable", elements));
  }
}

/// A bit that says "read the numbers negated or conjugated" would change every value.
void check_metadata(const Pickle& pickle, PickleId id, const std::string& place) {
  const PickleValue& value = pickle[id];
  if (value.kind == PickleKind::kNone || (value.kind == PickleKind::kDict && value.items.empty())) return;
  refuse_torch(place, "the tensor is a negated or conjugated view of its numbers",
               "Save it from Python once more, with .resolve_neg().resolve_conj().");
}

}  // namespace

/// Builds a TorchFile out of either form.
class TorchFileReader {
 public:
  TorchFileReader(TorchBytes bytes, const std::string& place) : bytes_(bytes) {
    file_.place_ = place;
    file_.file_bytes_ = static_cast<int64_t>(bytes.size());
  }

  TorchFile read() {
    if (is_zip(bytes_)) {
      read_zip();
    } else {
      read_legacy();
    }
    return std::move(file_);
  }

 private:
  [[noreturn]] void refuse(std::string message, std::string cure = "The file is damaged; make or download it again.") {
    refuse_torch(file_.place_, std::move(message), std::move(cure));
  }

  void read_zip() {
    file_.archive_ = ZipArchive::open(bytes_, file_.place_).value_or_throw();
    find_root();
    check_little_endian();
    const auto pickled = text_of("data.pkl", kPickleMaxBytes);
    file_.pickle_ = parse_pickle(std::as_bytes(std::span(pickled)), file_.place_, weights_need).value_or_throw();
    if (file_.pickle_.bytes != pickled.size()) refuse("data.pkl has more bytes than its pickle");
    find_storages();
    for (const auto& storage : file_.storages_) check_entry(storage);
  }

  /// Everything lies in one folder, whatever its name.
  void find_root() {
    constexpr std::string_view kName = "data.pkl";
    for (const auto& [name, entry] : file_.archive_->entries()) {
      if (!name.ends_with(kName) || name.find('/') != name.size() - kName.size() - 1) continue;
      if (!file_.root_.empty()) refuse("the archive holds two checkpoints");
      file_.root_ = name.substr(0, name.size() - kName.size());
    }
    if (file_.root_.empty()) {
      refuse("expected a zip archive of torch.save, found no FOLDER/data.pkl in it",
             "Save the weights with torch.save(model.state_dict(), FILE).");
    }
    if (file_.archive_->find(file_.root_ + "constants.pkl") != nullptr) {
      refuse("is a TorchScript program, expected weights alone",
             "Save the weights with torch.save(model.state_dict(), FILE).");
    }
  }

  void check_little_endian() {
    constexpr const char* kName = "byteorder";
    if (file_.archive_->find(file_.root_ + kName) == nullptr) return;  // before PyTorch 2.1
    if (const auto order = text_of(kName, 16); order != "little") {
      refuse(format("expected numbers in the byte order \"little\", got \"{}\"", order),
             "Save the file on a little-endian machine.");
    }
  }

  std::string text_of(const std::string& name, int64_t max_bytes) {
    const ZipEntry* entry = file_.archive_->find(file_.root_ + name);
    if (entry->size > max_bytes) {
      refuse(format("expected at most {} bytes in {}, got {}", max_bytes, name, entry->size));
    }
    const auto content = file_.archive_->read(file_.root_ + name).value_or_throw();
    return {reinterpret_cast<const char*>(content.bytes().data()), content.bytes().size()};
  }

  void check_entry(const TorchStorage& storage) {
    const ZipEntry* entry = file_.archive_->find(format("{}data/{}", file_.root_, storage.key));
    if (entry == nullptr) refuse(format("the pickle names storage \"{}\", the archive has none", storage.key));
    const auto bytes = dense_bytes(storage.dtype, std::array{storage.elements});
    if (!bytes || *bytes != entry->size) {
      refuse(format("storage \"{}\" of {} {} has {} bytes", storage.key, storage.elements, name_of(storage.dtype),
                    entry->size));
    }
  }

  // What both forms share: the persistent ids of a pickle are its storages.

  void find_storages() {
    std::map<std::pair<std::string, DType>, size_t> known;
    const auto& values = file_.pickle_.values;
    for (size_t id = 0; id < values.size(); ++id) {
      if (values[id].kind != PickleKind::kPersistent) continue;
      auto storage = parse_storage(values[id].items[0]);
      const auto [place, is_new] = known.emplace(std::pair(storage.key, storage.dtype), file_.storages_.size());
      if (!is_new && file_.storages_[place->second].elements != storage.elements) {
        refuse(format("storage \"{}\" has two sizes", storage.key));
      }
      if (is_new) file_.storages_.push_back(std::move(storage));
      file_.storage_of_.emplace(static_cast<PickleId>(id), place->second);
    }
  }

  /// ("storage", class, key, device, elements), and in the old form None or a view.
  TorchStorage parse_storage(PickleId id) {
    const Pickle& pickle = file_.pickle_;
    const auto& items = pickle[id].items;
    const auto is = [&](size_t i, PickleKind kind) { return pickle[items[i]].kind == kind; };
    if (pickle[id].kind != PickleKind::kTuple || items.size() < 5 || items.size() > 6 || !is(0, PickleKind::kText) ||
        pickle[items[0]].text != "storage" || !is(1, PickleKind::kGlobal) || !is(2, PickleKind::kText) ||
        !is(4, PickleKind::kInt) || pickle[items[4]].integer < 0) {
      refuse("expected storages to be (\"storage\", class, key, device, elements)");
    }
    if (items.size() == 6 && !is(5, PickleKind::kNone)) {
      refuse("holds views of storages, as PyTorch before 0.4 wrote them", "Save the file with a newer PyTorch.");
    }
    const auto& type = pickle[items[1]].text;
    const auto dtype = type == kUntypedStorage ? std::optional(DType::kU8) : torch_storage_dtype(type);
    if (!dtype) refuse(format("{} is no class of storages", type));
    const auto& key = pickle[items[2]].text;
    if (key.size() > kMaxStorageKey) refuse("a storage with a key too long to be true");
    return {.key = key, .dtype = *dtype, .elements = pickle[items[4]].integer};
  }

  // The old form: magic number, protocol, machine, object and keys, a pickle each, then the storages in the order of
  // their keys, each with its count of elements.

  void read_legacy() {
    const auto magic = next_pickle();
    if (!magic || magic->values[magic->root].kind != PickleKind::kBigInt ||
        magic->values[magic->root].text != kTorchMagic) {
      const bool is_tar = bytes_.size() > 262 && std::memcmp(bytes_.data() + 257, "ustar", 5) == 0;
      refuse(is_tar ? "is a tar archive, as PyTorch before 0.2 wrote them" : "is no file of torch.save",
             is_tar ? "Save it with a newer PyTorch." : "Check the path, or make or download the file again.");
    }
    const auto protocol = next_pickle().value_or_throw();
    if (protocol[protocol.root].kind != PickleKind::kInt || protocol[protocol.root].integer != kLegacyProtocol) {
      refuse(format("expected protocol {} of torch.save", kLegacyProtocol));
    }
    const auto machine = next_pickle().value_or_throw();
    if (const auto* little = machine.find(machine.root, "little_endian"); !little || machine[*little].integer != 1) {
      refuse("expected numbers in little-endian byte order", "Save the file on a little-endian machine.");
    }
    file_.pickle_ = next_pickle().value_or_throw();
    find_storages();
    read_legacy_storages(next_pickle().value_or_throw());
  }

  Result<Pickle> next_pickle() {
    auto pickle = parse_pickle(bytes_.subspan(at_), file_.place_, weights_need);
    if (pickle) at_ += pickle->bytes;
    return pickle;
  }

  void read_legacy_storages(const Pickle& keys) {
    std::map<std::string_view, size_t> by_key;
    for (size_t i = 0; i < file_.storages_.size(); ++i) {
      if (!by_key.emplace(file_.storages_[i].key, i).second) {
        refuse(format("storage \"{}\" has two types", file_.storages_[i].key));
      }
    }
    file_.legacy_.resize(file_.storages_.size());
    if (keys[keys.root].kind != PickleKind::kList) refuse("expected a list of the storages' keys");
    for (const PickleId id : keys[keys.root].items) {
      const auto found = by_key.find(keys[id].text);
      if (keys[id].kind != PickleKind::kText || found == by_key.end()) {
        refuse(format("storage \"{}\" comes twice or belongs to nothing", keys[id].text));
      }
      file_.legacy_[found->second] = next_storage(file_.storages_[found->second]);
      by_key.erase(found);
    }
    if (!by_key.empty()) refuse(format("storage \"{}\" is missing", by_key.begin()->first));
    if (at_ != bytes_.size()) refuse(format("{} bytes after the last storage", bytes_.size() - at_));
  }

  TorchBytes next_storage(const TorchStorage& storage) {
    const auto bytes = dense_bytes(storage.dtype, std::array{storage.elements});
    const auto left = static_cast<int64_t>(bytes_.size() - at_) - 8;
    if (!bytes || *bytes > left) {
      refuse(format("storage \"{}\" of {} {} needs more bytes than the {} that are left", storage.key, storage.elements,
                    name_of(storage.dtype), std::max<int64_t>(left, 0)));
    }
    int64_t elements = 0;
    std::memcpy(&elements, bytes_.data() + at_, 8);
    if (elements != storage.elements) {
      refuse(format("storage \"{}\" has {} elements in its place, {} in the pickle", storage.key, elements,
                    storage.elements));
    }
    const auto out = bytes_.subspan(at_ + 8, static_cast<size_t>(*bytes));
    at_ += 8 + out.size();
    return out;
  }

  TorchBytes bytes_;
  size_t at_ = 0;
  TorchFile file_;
};

Result<TorchFile> TorchFile::open(std::span<const std::byte> file, const std::string& place) {
  return as_result([&] { return TorchFileReader(file, place).read(); });
}

bool TorchFile::is_tensor(PickleId id) const { return unwrapped(pickle_, id).has_value(); }

Result<TorchTensor> TorchFile::tensor(PickleId id) const {
  return as_result([&] {
    const auto maker = unwrapped(pickle_, id);
    if (!maker) refuse_torch(place_, format("expected a tensor, got {}", name_of(pickle_[id].kind)));
    const auto name = called(pickle_, *maker);
    const auto& arguments = arguments_of(pickle_, *maker);
    // storage, offset, shape, strides; requires_grad, hooks; dtype in version 3; metadata
    const size_t least = name == kRebuildTensor ? 4 : name == kRebuildTensor2 ? 6 : 7;
    if (arguments.size() < least || arguments.size() > least + 1) {
      refuse_torch(place_, format("{} with {} arguments", name, arguments.size()));
    }
    if (arguments.size() > least) check_metadata(pickle_, arguments[least], place_);
    const auto storage = storage_of_.find(arguments[0]);
    const PickleValue& offset = pickle_[arguments[1]];
    if (storage == storage_of_.end() || offset.kind != PickleKind::kInt || offset.integer < 0) {
      refuse_torch(place_, "a tensor without storage or offset");
    }
    const TorchStorage& numbers = storages_[storage->second];
    TorchTensor out{.storage = storage->second,
                    .dtype = numbers.dtype,
                    .offset = offset.integer,
                    .shape = counts_of(pickle_, arguments[2], place_),
                    .strides = counts_of(pickle_, arguments[3], place_)};
    if (name == kRebuildTensor3) {
      const auto dtype = torch_dtype_named(pickle_[arguments[6]].text);
      if (!dtype) refuse_torch(place_, "a tensor of an unknown type of numbers");
      out.dtype = *dtype;
    }
    check_reach(out, numbers.elements * size_in_bytes(numbers.dtype) / size_in_bytes(out.dtype), place_);
    return out;
  });
}

Result<ZipContent> TorchFile::read(size_t storage) const {
  UNIREPLK_CHECK(storage < storages_.size(), "no storage {}", storage);
  if (!archive_) return ZipContent(legacy_[storage]);
  return archive_->read(format("{}data/{}", root_, storages_[storage].key));
}

}  // namespace unireplk::formats
