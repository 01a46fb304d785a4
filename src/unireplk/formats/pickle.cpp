#include "unireplk/formats/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "unireplk/core/utf8.h"

namespace unireplk::formats {
namespace {

constexpr size_t kMaxGlobalName = 256;
constexpr size_t kMaxLongBytes = 256;
constexpr const char* kOrderedDict = "collections.OrderedDict";

/// Opcodes by their names in Python's pickletools.
enum Opcode : uint8_t {
  kProto = 0x80,
  kFrame = 0x95,
  kStop = '.',
  kMark = '(',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kOpNone = 'N',
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kBinFloat = 'G',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinBytes8 = 0x8e,
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kOpList = 'l',
  kEmptyTuple = ')',
  kOpTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kOpDict = 'd',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kMemoize = 0x94,
  kBinGet = 'h',
  kLongBinGet = 'j',
  kOpGlobal = 'c',
  kStackGlobal = 0x93,
  kReduce = 'R',
  kNewObj = 0x81,
  kBuild = 'b',
  kBinPersId = 'Q',
};

/// Runs the opcodes. Refuses by throwing a UserError, which parse_pickle() turns into a Problem.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, const std::string& place, const PickleRule& allowed)
      : bytes_(bytes), place_(place), allowed_(allowed) {}

  Pickle run() {
    for (uint8_t op = byte(); op != kStop; op = byte()) {
      if (!frame(op) && !number(op) && !text(op) && !container(op) && !memory(op) && !object(op)) {
        refuse(format("opcode 0x{:02x} is none that weights need", op));
      }
    }
    pickle_.root = pop();
    pickle_.bytes = at_;
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw UserError({.place = place_,
                     .message = format("byte {} of the pickle: {}", at_, what),
                     .cure = "The file is damaged or holds more than weights; save the state_dict() alone."});
  }

  // What comes next in the file.

  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes_.size() - at_) refuse(format("expected {} more bytes, {} are left", count, bytes_.size() - at_));
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

  uint64_t unsigned_of(size_t width) {
    uint64_t value = 0;
    std::memcpy(&value, take(width).data(), width);
    return value;
  }

  uint8_t byte() { return static_cast<uint8_t>(unsigned_of(1)); }

  std::string_view characters(uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  std::string_view line() {
    const auto rest = bytes_.subspan(at_, std::min(bytes_.size() - at_, kMaxGlobalName + 1));
    const auto end = std::ranges::find(rest, std::byte{'\n'});
    if (end == rest.end()) refuse("expected a name that ends with its line");
    const auto text = characters(static_cast<uint64_t>(end - rest.begin()));
    take(1);
    return text;
  }

  // The stack. A mark is a height of it that nothing pops through.

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  void push(PickleId id) {
    if (stack_.size() >= kPickleMaxValues) refuse("the stack grows too high");
    stack_.push_back(id);
  }

  void push(PickleValue value) {
    if (pickle_.values.size() >= kPickleMaxValues) refuse(format("more than {} values", kPickleMaxValues));
    grow_items(value.items.size());
    pickle_.values.push_back(std::move(value));
    push(static_cast<PickleId>(pickle_.values.size() - 1));
  }

  PickleId top() const {
    if (stack_.size() <= floor()) refuse("takes from an empty stack");
    return stack_.back();
  }

  PickleId pop() {
    const PickleId id = top();
    stack_.pop_back();
    return id;
  }

  std::vector<PickleId> pop_count(size_t count) {
    if (stack_.size() - floor() < count) refuse("takes from an empty stack");
    std::vector<PickleId> out(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return out;
  }

  std::vector<PickleId> pop_to_mark() {
    if (marks_.empty()) refuse("ends a group that never began");
    auto out = pop_count(stack_.size() - floor());
    marks_.pop_back();
    return out;
  }

  PickleValue& value(PickleId id) { return pickle_.values[id]; }

  void grow_items(size_t count) {
    items_ += count;
    if (items_ > kPickleMaxItems) refuse(format("more than {} items", kPickleMaxItems));
  }

  void extend_top(PickleKind kind, const std::vector<PickleId>& items) {
    PickleValue& target = value(top());
    if (target.kind != kind) refuse(format("adds items to {}", name_of(target.kind)));
    if (kind == PickleKind::kDict && items.size() % 2 != 0) refuse("a key without a value");
    grow_items(items.size());
    target.items.insert(target.items.end(), items.begin(), items.end());
  }

  // Opcodes by group; false when it belongs to another.

  bool frame(uint8_t op) {
    switch (op) {
      case kProto:
        if (const auto protocol = byte(); protocol < 2 || protocol > 5) {
          refuse(format("expected protocol 2 to 5, got {}", protocol));
        }
        return true;
      case kFrame:
        return take(8), true;  // how much to read ahead: of no use here
      case kMark:
        if (marks_.size() >= kPickleMaxValues) refuse("too many groups begin");
        return marks_.push_back(stack_.size()), true;
      case kPop:
        return pop(), true;
      case kPopMark:
        return pop_to_mark(), true;
      case kDup:
        return push(top()), true;
      default:
        return false;
    }
  }

  bool number(uint8_t op) {
    switch (op) {
      case kOpNone:
        return push(PickleValue{}), true;
      case kNewTrue:
      case kNewFalse:
        return push({.kind = PickleKind::kBool, .integer = op == kNewTrue}), true;
      case kBinInt:
        return push_int(static_cast<int32_t>(unsigned_of(4))), true;
      case kBinInt1:
        return push_int(static_cast<int64_t>(unsigned_of(1))), true;
      case kBinInt2:
        return push_int(static_cast<int64_t>(unsigned_of(2))), true;
      case kLong1:
        return push_long(unsigned_of(1)), true;
      case kLong4:
        return push_long(unsigned_of(4)), true;
      case kBinFloat:
        return push({.kind = PickleKind::kFloat, .real = std::bit_cast<double>(__builtin_bswap64(unsigned_of(8)))}),
               true;
      default:
        return false;
    }
  }

  void push_int(int64_t integer) { push({.kind = PickleKind::kInt, .integer = integer}); }

  void push_long(uint64_t count) {
    if (count > kMaxLongBytes) refuse(format("an integer of {} bytes", count));
    const auto digits = characters(count);
    if (count > 8) return push({.kind = PickleKind::kBigInt, .text = std::string(digits)});
    uint64_t bits = 0;
    std::memcpy(&bits, digits.data(), count);
    const auto unused = static_cast<int>(64 - 8 * count);
    push_int(count == 0 ? 0 : static_cast<int64_t>(bits << unused) >> unused);
  }

  bool text(uint8_t op) {
    switch (op) {
      case kShortBinUnicode:
        return push_text(unsigned_of(1)), true;
      case kBinUnicode:
        return push_text(unsigned_of(4)), true;
      case kBinUnicode8:
        return push_text(unsigned_of(8)), true;
      case kShortBinString:
        return push_bytes(unsigned_of(1), true), true;
      case kBinString:
        return push_bytes(unsigned_of(4), true), true;
      case kShortBinBytes:
        return push_bytes(unsigned_of(1), false), true;
      case kBinBytes:
        return push_bytes(unsigned_of(4), false), true;
      case kBinBytes8:
        return push_bytes(unsigned_of(8), false), true;
      default:
        return false;
    }
  }

  void push_text(uint64_t count) {
    const auto text = characters(count);
    if (!is_utf8(text)) refuse("a text that is not UTF-8");
    push({.kind = PickleKind::kText, .text = std::string(text)});
  }

  /// A `str` of Python 2 is text when it can be.
  void push_bytes(uint64_t count, bool maybe_text) {
    const auto text = characters(count);
    const bool is_text = maybe_text && is_utf8(text);
    push({.kind = is_text ? PickleKind::kText : PickleKind::kBytes, .text = std::string(text)});
  }

  bool container(uint8_t op) {
    switch (op) {
      case kEmptyList:
        return push({.kind = PickleKind::kList}), true;
      case kOpList:
        return push({.kind = PickleKind::kList, .items = pop_to_mark()}), true;
      case kAppend:
        return extend_top(PickleKind::kList, pop_count(1)), true;
      case kAppends:
        return extend_top(PickleKind::kList, pop_to_mark()), true;
      case kEmptyTuple:
        return push({.kind = PickleKind::kTuple}), true;
      case kOpTuple:
        return push({.kind = PickleKind::kTuple, .items = pop_to_mark()}), true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push({.kind = PickleKind::kTuple, .items = pop_count(static_cast<size_t>(op - kTuple1 + 1))}), true;
      case kEmptyDict:
        return push({.kind = PickleKind::kDict}), true;
      case kOpDict: {
        const auto items = pop_to_mark();
        push({.kind = PickleKind::kDict});
        return extend_top(PickleKind::kDict, items), true;
      }
      case kSetItem:
        return extend_top(PickleKind::kDict, pop_count(2)), true;
      case kSetItems:
        return extend_top(PickleKind::kDict, pop_to_mark()), true;
      default:
        return false;
    }
  }

  bool memory(uint8_t op) {
    switch (op) {
      case kBinPut:
        return put(unsigned_of(1)), true;
      case kLongBinPut:
        return put(unsigned_of(4)), true;
      case kMemoize:
        return put(memo_.size()), true;
      case kBinGet:
        return get(unsigned_of(1)), true;
      case kLongBinGet:
        return get(unsigned_of(4)), true;
      default:
        return false;
    }
  }

  void put(uint64_t slot) {
    if (memo_.size() >= kPickleMaxValues) refuse("the memo grows too large");
    memo_[slot] = top();
  }

  void get(uint64_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) refuse(format("remembers value {}, which was never kept", slot));
    push(found->second);
  }

  bool object(uint8_t op) {
    switch (op) {
      case kOpGlobal: {
        const auto module = line();
        push_global(module, line());
        return true;
      }
      case kStackGlobal: {
        const auto names = pop_count(2);
        const auto &module = value(names[0]), &name = value(names[1]);
        if (module.kind != PickleKind::kText || name.kind != PickleKind::kText) refuse("a global that has no name");
        push_global(module.text, name.text);
        return true;
      }
      case kReduce:
      case kNewObj:
        return call(), true;
      case kBuild:
        return build(), true;
      case kBinPersId:
        return push({.kind = PickleKind::kPersistent, .items = pop_count(1)}), true;
      default:
        return false;
    }
  }

  void push_global(std::string_view module, std::string_view name) {
    if (module.size() + name.size() > kMaxGlobalName) refuse("a global with a name too long to be true");
    auto full = format("{}.{}", module, name);
    if (!is_utf8(full)) refuse("a global whose name is not UTF-8");
    if (full != kOrderedDict && !allowed_(full)) {
      refuse(format("it asks for {}, which no weights need and this program never runs", full));
    }
    push({.kind = PickleKind::kGlobal, .text = std::move(full)});
  }

  void call() {
    auto parts = pop_count(2);
    const auto &callable = value(parts[0]), &arguments = value(parts[1]);
    if (callable.kind != PickleKind::kGlobal) refuse(format("calls {}", name_of(callable.kind)));
    if (arguments.kind != PickleKind::kTuple) refuse(format("calls {} without a tuple", callable.text));
    if (callable.text == kOrderedDict) return push({.kind = PickleKind::kDict, .items = pairs_of(arguments)});
    push({.kind = PickleKind::kCall, .items = std::move(parts)});
  }

  /// The arguments of OrderedDict(): none, or as Python 2 wrote it one list of [key, value].
  std::vector<PickleId> pairs_of(const PickleValue& arguments) {
    std::vector<PickleId> out;
    if (arguments.items.empty()) return out;
    const auto& list = value(arguments.items[0]);
    if (arguments.items.size() != 1 || list.kind != PickleKind::kList) refuse("an OrderedDict of something odd");
    for (const PickleId id : list.items) {
      const auto& pair = value(id);
      if (pair.kind != PickleKind::kList || pair.items.size() != 2) refuse("an OrderedDict of something odd");
      out.insert(out.end(), pair.items.begin(), pair.items.end());
    }
    return out;
  }

  /// A state is kept with a call; a dictionary's (`_metadata` of a state dict) is of no use here.
  void build() {
    const PickleId state = pop();
    PickleValue& target = value(top());
    if (target.kind == PickleKind::kDict) return;
    if (target.kind != PickleKind::kCall || target.items.size() != 2) {
      refuse(format("gives a state to {}", name_of(target.kind)));
    }
    grow_items(1);
    target.items.push_back(state);
  }

  std::span<const std::byte> bytes_;
  const std::string& place_;
  const PickleRule& allowed_;
  size_t at_ = 0;
  Pickle pickle_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleId> memo_;
  size_t items_ = 0;
};

}  // namespace

std::string_view name_of(PickleKind kind) {
  switch (kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return "a bool";
    case PickleKind::kInt:
    case PickleKind::kBigInt:
      return "an int";
    case PickleKind::kFloat:
      return "a float";
    case PickleKind::kText:
      return "a text";
    case PickleKind::kBytes:
      return "bytes";
    case PickleKind::kTuple:
      return "a tuple";
    case PickleKind::kList:
      return "a list";
    case PickleKind::kDict:
      return "a dictionary";
    case PickleKind::kGlobal:
      return "a class or function";
    case PickleKind::kCall:
      return "an object";
    case PickleKind::kPersistent:
      return "a storage";
  }
  return "";
}

const PickleId* Pickle::find(PickleId dict, std::string_view key) const {
  const PickleValue& target = values.at(dict);
  if (target.kind != PickleKind::kDict) return nullptr;
  for (size_t i = target.items.size(); i > 0; i -= 2) {
    const PickleValue& candidate = values.at(target.items[i - 2]);
    if (candidate.kind == PickleKind::kText && candidate.text == key) return &target.items[i - 1];
  }
  return nullptr;
}

Result<Pickle> parse_pickle(std::span<const std::byte> bytes, const std::string& place, const PickleRule& allowed) {
  return as_result([&] {
    return PickleMachine(bytes.first(std::min<size_t>(bytes.size(), kPickleMaxBytes)), place, allowed).run();
  });
}

}  // namespace unireplk::formats
