#include "unireplk/config/parse.h"

#include <algorithm>

#include "unireplk/config/defaults.h"
#include "unireplk/config/parse_scalar.h"
#include "unireplk/config/text.h"

namespace unireplk::config {
namespace {

/// Where the parser stands: the value, or where it would be, and its dotted path.
struct Spot {
  const Node* node = nullptr;  ///< nullptr: absent
  Origin origin;
  std::string path;

  std::string place() const {
    if (origin.kind == Origin::Kind::kDefault) return path;
    return path.empty() ? origin.text() : origin.text() + ": " + path;
  }

  Spot below(std::string_view key) const {
    const Node* child = node ? node->find(key) : nullptr;
    return {child, child ? child->origin : origin, (path.empty() ? "" : path + ".") + std::string(key)};
  }

  /// \param keys  joined by dots; empty: this spot.
  Spot far_below(std::string_view keys) const {
    if (keys.empty()) return *this;
    const size_t dot = keys.find('.');
    const Spot next = below(keys.substr(0, dot));
    return dot == std::string_view::npos ? next : next.far_below(keys.substr(dot + 1));
  }

  Spot item(size_t index) const {
    const Node& child = node->items[index];
    return {&child, child.origin, format("{}[{}]", path, index)};
  }
};

bool is_null(const Spot& spot) { return !spot.node || spot.node->kind == Node::Kind::kNull; }

class Parser {
 public:
  Parser(const Registries& registries, std::string_view unknown_name_cure, std::vector<Problem>& problems)
      : registries_(registries), unknown_name_cure_(unknown_name_cure), problems_(problems) {}

  void value(const Type& type, void* target, const Spot& spot, const Constraint& constraint) {
    std::visit(Overloaded{
                   [&](const ScalarType& t) { scalar(t, target, spot, constraint); },
                   [&](const OptionalType& t) { optional(t, target, spot, constraint); },
                   [&](const ListType& t) { list(t, target, spot, constraint); },
                   [&](const MapType& t) { map(t, target, spot, constraint); },
                   [&](const StructType& t) { structure(t, target, spot); },
                   [&](const ChoiceType& t) { choice(t, target, spot, constraint); },
               },
               type.is);
  }

  void structure(const StructType& type, void* target, const Spot& spot) {
    if (spot.node && !require(Node::Kind::kMap, "a map of keys", spot)) return;
    members(type, target, spot, {});
  }

 private:
  void report(const Spot& spot, std::string message, std::string cure = {}) {
    problems_.push_back({spot.place(), std::move(message), std::move(cure)});
  }

  bool require(Node::Kind kind, std::string_view expected, const Spot& spot, std::string_view cure = {}) {
    if (spot.node->kind == kind) return true;
    const bool is_nothing = spot.node->kind == Node::Kind::kNull;
    report(spot, format("expected {}, got {}", expected, spot.node->text()),
           cure.empty() && is_nothing ? "Remove the key or give it a value." : std::string(cure));
    return false;
  }

  /// The fields of a struct. \param extra  a key that is not a field but belongs here: `name` of a choice.
  void members(const StructType& type, void* target, const Spot& spot, std::string_view extra) {
    const size_t problems_before = problems_.size();
    const auto fields = type.fields(target);
    if (spot.node) refuse_unknown(fields, spot, extra);
    for (const auto& one : fields) field(one, spot.below(one.key));
    if (!type.validate || problems_.size() != problems_before) return;
    Problems found(problems_, [&](std::string_view keys) { return spot.far_below(keys).place(); });
    type.validate(target, found);
  }

  void refuse_unknown(const std::vector<Field>& fields, const Spot& spot, std::string_view extra) {
    std::vector<std::string> known;
    for (const auto& field : fields) known.push_back(field.key);
    if (!extra.empty()) known.emplace_back(extra);
    for (const auto& member : spot.node->members) {
      if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
      Spot unknown = spot.below(member.key.size() > 60 ? member.key.substr(0, 60) : member.key);
      unknown.origin = member.origin;
      report(unknown, "unknown key", suggestion(member.key, known));
    }
  }

  void field(const Field& field, const Spot& spot) {
    if (spot.node) return value(*field.type, field.member, spot, field.constraint);
    if (must_be_given(field)) return report(spot, "required, but missing", field.help);
    absent(*field.type, field.member, spot);
  }

  /// An absent struct may have required keys, an absent choice a default name.
  void absent(const Type& type, void* target, const Spot& spot) {
    if (const auto* t = std::get_if<StructType>(&type.is)) members(*t, target, spot, {});
    if (const auto* t = std::get_if<ChoiceType>(&type.is)) default_choice(*t, t->base(target), spot);
  }

  void scalar(const ScalarType& type, void* target, const Spot& spot, const Constraint& constraint) {
    const ScalarResult result = parse_scalar(type, *spot.node, constraint);
    if (result.value) return type.set(target, *result.value);
    report(spot, result.message, result.cure);
  }

  void optional(const OptionalType& type, void* target, const Spot& spot, const Constraint& constraint) {
    if (is_null(spot)) return type.reset(target);
    value(type.element(), type.emplace(target), spot, constraint);
  }

  void list(const ListType& type, void* target, const Spot& spot, const Constraint& constraint) {
    const std::string expected = type.fixed_size ? format("a list of {} values", *type.fixed_size) : "a list";
    const std::string cure = spot.node->kind == Node::Kind::kScalar ? format("Write [{}].", spot.node->scalar) : "";
    if (!require(Node::Kind::kList, expected, spot, cure)) return;
    const size_t size = spot.node->items.size();
    if (type.fixed_size && size != *type.fixed_size) {
      return report(spot, format("expected {}, got {}", expected, size));
    }
    if (size == 0 && constraint.non_empty) return report(spot, "expected a list that is not empty, got []");
    type.refill(target, size);
    for (size_t i = 0; i < size; ++i) value(type.element(), type.item(target, i), spot.item(i), constraint);
  }

  void map(const MapType& type, void* target, const Spot& spot, const Constraint& constraint) {
    if (!require(Node::Kind::kMap, "a map", spot)) return;
    if (spot.node->members.empty() && constraint.non_empty) {
      return report(spot, "expected a map that is not empty, got {}");
    }
    type.clear(target);
    for (const auto& member : spot.node->members) {
      value(type.element(), type.item(target, member.key), spot.below(member.key), constraint);
    }
  }

  void choice(const ChoiceType& type, void* target, const Spot& spot, const Constraint& constraint) {
    ChoiceBase& base = type.base(target);
    const RegistryBase& registry = registries_.get(type.signature());
    if (is_null(spot) && !constraint.required && !constraint.non_empty) return base.reset();
    const std::string cure = spot.node->kind == Node::Kind::kScalar ? format("Write {{name: {}}}.", spot.node->scalar)
                                                                    : known_names(registry);
    if (!require(Node::Kind::kMap, "a map that names " + with_article(registry.kind()), spot, cure)) return;
    const Spot name = spot.below("name");
    if (!name.node && base.name().empty()) return report(name, "required, but missing", known_names(registry));
    if (name.node && name.node->kind != Node::Kind::kScalar) {
      return report(name, format("expected the name of {}, got {}", with_article(registry.kind()), name.node->text()),
                    known_names(registry));
    }
    const std::string chosen = name.node ? name.node->scalar : base.name();
    const auto entry = registry.find(chosen);
    if (!entry) {
      const auto known = suggestion(chosen, registry.names());
      return report(name, format("no {} {}", registry.kind(), excerpt(chosen)),
                    unknown_name_cure_.empty() ? known : format("{} {}", known, unknown_name_cure_));
    }
    fill(base, entry, spot);
  }

  static std::string known_names(const RegistryBase& registry) {
    return format("Known names: {}.", comma_list(registry.names()));
  }

  void default_choice(const ChoiceType& type, ChoiceBase& base, const Spot& spot) {
    if (!base.empty() || base.default_name().empty()) return;
    const RegistryBase& registry = registries_.get(type.signature());
    const auto entry = registry.find(base.default_name());
    UNIREPLK_CHECK(entry, "{}: no {} \"{}\", which is the default", spot.path, registry.kind(), base.default_name());
    UNIREPLK_CHECK(++num_open_defaults_ < kMaxOpenDefaults, "{}: a default choice that contains itself", spot.path);
    fill(base, entry, spot);
    --num_open_defaults_;
  }

  void fill(ChoiceBase& base, const std::shared_ptr<const Entry>& entry, const Spot& spot) {
    auto config = entry->config->make();
    members(*entry->config, config.get(), spot, "name");
    base.assign(entry, std::move(config));
  }

  static constexpr int kMaxOpenDefaults = 32;

  const Registries& registries_;
  std::string_view unknown_name_cure_;
  std::vector<Problem>& problems_;
  int num_open_defaults_ = 0;
};

/// Nobody reads more; what made so many is no config.
void shorten(std::vector<Problem>& problems) {
  constexpr size_t kMost = 100;
  if (problems.size() <= kMost) return;
  const size_t rest = problems.size() - kMost;
  problems.resize(kMost);
  problems.push_back({{}, format("{} more mistakes", rest), {}});
}

}  // namespace

void detail::parse_struct(const Tree& tree, const Registries& registries, const StructType& type, void* value) {
  std::vector<Problem> problems = tree.problems;
  const bool is_empty = tree.root.kind == Node::Kind::kNull;
  Parser(registries, tree.unknown_name_cure, problems)
      .structure(type, value, {is_empty ? nullptr : &tree.root, tree.root.origin, {}});
  shorten(problems);
  if (!problems.empty()) throw UserError(std::move(problems));
}

}  // namespace unireplk::config
