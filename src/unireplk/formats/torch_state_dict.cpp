#include <algorithm>
#include <array>
#include <set>

#include "unireplk/formats/torch_file.h"

namespace unireplk::formats {
namespace {

/// Where checkpoints keep their weights: averaged ones first, as timm takes them.
constexpr std::array kUsualKeys{"state_dict_ema", "model_ema", "state_dict", "model", "module"};
constexpr size_t kMaxName = 4096;
constexpr size_t kMaxNameBytes = size_t{64} << 20;  // of all names together: shared dictionaries multiply them
constexpr size_t kShownKeys = 10;
constexpr const char* kKeyCure = "Name the dictionary to take with --key.";

class StateDictReader {
 public:
  explicit StateDictReader(const TorchFile& file)
      : file_(file), budget_(file.file_bytes() * kZipGrowth + kZipAllowance) {}

  TorchStateDict read(const std::string& key) {
    PickleId dict = file_.pickle().root;
    require_dict(dict, "");
    if (key.empty()) {
      take_usual_key(dict);
    } else {
      out_.key = key;
      dict = follow(dict, key);
    }
    flatten(dict, "", 0);
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string message, std::string cure = "") const {
    throw UserError({.place = file_.place(), .message = std::move(message), .cure = std::move(cure)});
  }

  const PickleValue& value(PickleId id) const { return file_.pickle()[id]; }

  void require_dict(PickleId id, const std::string& key) const {
    if (value(id).kind == PickleKind::kDict) return;
    const auto where = key.empty() ? std::string("the file holds") : format("\"{}\" is", key);
    refuse(format("expected a dictionary of tensors, {} {}", where,
                  file_.is_tensor(id) ? "a tensor" : name_of(value(id).kind)),
           "Save the weights with torch.save(model.state_dict(), FILE).");
  }

  /// Step into the first usual key that holds a dictionary.
  void take_usual_key(PickleId& dict) {
    for (const char* key : kUsualKeys) {
      const PickleId* found = file_.pickle().find(dict, key);
      if (found == nullptr || value(*found).kind != PickleKind::kDict) continue;
      out_.key = key;
      name_ignored(dict, key);
      dict = *found;
      return;
    }
  }

  void name_ignored(PickleId dict, std::string_view key) {
    const auto& items = value(dict).items;
    for (size_t i = 0; i < items.size(); i += 2) {
      if (out_.ignored.size() < kShownKeys && value(items[i]).text != key) out_.ignored.push_back(key_text(items[i]));
    }
  }

  /// The dictionary that "a.b" leads to: the key "a.b" itself, or "b" of the dictionary "a".
  PickleId follow(PickleId dict, const std::string& key) const {
    std::string rest = key;
    for (int depth = 0; depth < kPickleMaxDepth; ++depth) {
      if (const PickleId* found = file_.pickle().find(dict, rest)) {
        require_dict(*found, key);
        return *found;
      }
      const auto dot = rest.find('.');
      const PickleId* step = dot == rest.npos ? nullptr : file_.pickle().find(dict, rest.substr(0, dot));
      if (step == nullptr) break;
      dict = *step;
      rest = rest.substr(dot + 1);
    }
    refuse(format("expected the key \"{}\", found {}", key, keys_of(file_.pickle().root)), "Pass one of these.");
  }

  std::string keys_of(PickleId dict) const {
    const auto& items = value(dict).items;
    std::string text;
    for (size_t i = 0; i < items.size() && i < 2 * kShownKeys; i += 2) text += (i > 0 ? ", " : "") + key_text(items[i]);
    if (items.size() > 2 * kShownKeys) text += format(" and {} more", items.size() / 2 - kShownKeys);
    return text.empty() ? "no keys" : text;
  }

  std::string key_text(PickleId key) const {
    const PickleValue& name = value(key);
    if (name.kind == PickleKind::kText) return name.text.substr(0, kMaxName);
    if (name.kind == PickleKind::kInt) return std::to_string(name.integer);
    return std::string(name_of(name.kind));
  }

  void flatten(PickleId dict, const std::string& prefix, int depth) {
    if (depth > kPickleMaxDepth) refuse("dictionaries lie within each other too deep, or in a loop", kKeyCure);
    const auto& items = value(dict).items;
    for (size_t i = 0; i < items.size(); i += 2) {
      const auto name = prefix + key_text(items[i]);
      if (name.size() > kMaxName) refuse("a name too long to be true");
      name_bytes_ += name.size();
      if (++visited_ > kPickleMaxValues || name_bytes_ > kMaxNameBytes) refuse("too many names", kKeyCure);
      if (value(items[i]).kind == PickleKind::kText && file_.is_tensor(items[i + 1])) {
        add(name, items[i + 1]);
      } else if (value(items[i + 1]).kind == PickleKind::kDict && !value(items[i + 1]).items.empty()) {
        flatten(items[i + 1], name + ".", depth + 1);
      } else {
        out_.others.push_back(format("{}: {}", name, words_for(items[i + 1])));
      }
    }
  }

  std::string words_for(PickleId id) const {
    const PickleValue& other = value(id);
    if (file_.is_tensor(id)) return "a tensor whose name is no text";
    if (other.kind == PickleKind::kCall) return value(other.items[0]).text;
    return std::string(name_of(other.kind));
  }

  void add(const std::string& name, PickleId id) {
    auto tensor = file_.tensor(id);
    if (!tensor) refuse(format("tensor \"{}\": {}", name, tensor.problem().message), tensor.problem().cure);
    if (!names_.insert(name).second) refuse(format("tensor \"{}\" comes twice", name));
    const int64_t bytes = *dense_bytes(tensor->dtype, tensor->shape);
    if (bytes > budget_) {
      refuse(format("tensor \"{}\": its views repeat the file's numbers more than {} times", name, kZipGrowth));
    }
    budget_ -= bytes;
    out_.tensors.emplace_back(name, std::move(tensor).value());
  }

  const TorchFile& file_;
  int64_t budget_;
  size_t visited_ = 0, name_bytes_ = 0;
  std::set<std::string> names_;
  TorchStateDict out_;
};

}  // namespace

Result<TorchStateDict> torch_state_dict(const TorchFile& file, const std::string& key) {
  return as_result([&] { return StateDictReader(file).read(key); });
}

}  // namespace unireplk::formats
