#include "unireplk/config/schema.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "unireplk/config/defaults.h"
#include "unireplk/config/snapshot.h"
#include "unireplk/config/write.h"

namespace unireplk::config {
namespace {

using json = nlohmann::ordered_json;

void add_range(json& out, const Range& range) {
  if (std::isfinite(range.low)) out[range.open_low ? "exclusiveMinimum" : "minimum"] = range.low;
  if (std::isfinite(range.high)) out[range.open_high ? "exclusiveMaximum" : "maximum"] = range.high;
}

json scalar(const ScalarType& type, const Constraint& constraint) {
  switch (type.kind) {
    case ScalarKind::kBool:
      return {{"type", "boolean"}};
    case ScalarKind::kEnum:
      return {{"enum", type.names()}};
    case ScalarKind::kText:
      break;
    case ScalarKind::kNumber:
    case ScalarKind::kInteger: {
      const bool is_integer = type.kind == ScalarKind::kInteger;
      json out{{"type", is_integer ? "integer" : "number"}};
      if (is_integer) out.update({{"minimum", type.lowest}, {"maximum", type.highest}});
      add_range(out, constraint.range);
      return out;
    }
  }
  json out{{"type", "string"}};
  if (constraint.non_empty) out["minLength"] = 1;
  if (!constraint.one_of.empty()) out["enum"] = constraint.one_of;
  return out;
}

/// Walks types; what `name:` may choose becomes a definition of its own, because choices may contain
/// themselves.
class SchemaMaker {
 public:
  explicit SchemaMaker(const Registries& registries) : registries_(registries) {}

  json structure(const StructType& type, json properties = json::object()) {
    json out{{"type", "object"}, {"additionalProperties", false}};
    if (std::find(open_.begin(), open_.end(), &type) != open_.end()) return {{"type", "object"}};
    open_.push_back(&type);
    const auto owner = type.make();
    json needed = json::array();
    for (const auto& one : type.fields(owner.get())) {
      properties[one.key] = field(one);
      if (must_be_given(one)) needed.push_back(one.key);
    }
    open_.pop_back();
    out["properties"] = std::move(properties);
    if (!needed.empty()) out["required"] = std::move(needed);
    return out;
  }

  json take_definitions() { return std::move(definitions_); }

 private:
  json field(const Field& field) {
    json out = of_type(*field.type, field.member, field.constraint);
    if (!field.help.empty()) out["description"] = field.help;
    const bool has_parts = std::holds_alternative<StructType>(field.type->is);
    if (!has_parts && !must_be_given(field))
      out["default"] = json::parse(write_json(snapshot(*field.type, field.member)));
    return out;
  }

  /// \param member  a value with its default, or nullptr for an element, which has none.
  json of_type(const Type& type, const void* member, const Constraint& constraint) {
    return std::visit(Overloaded{
                          [&](const ScalarType& t) { return scalar(t, constraint); },
                          [&](const OptionalType& t) { return or_null(of_type(t.element(), nullptr, constraint)); },
                          [&](const ListType& t) { return list(t, constraint); },
                          [&](const MapType& t) { return map(t, constraint); },
                          [&](const StructType& t) { return structure(t); },
                          [&](const ChoiceType& t) { return choice(t, member, constraint); },
                      },
                      type.is);
  }

  static json or_null(json schema) { return {{"anyOf", {std::move(schema), {{"type", "null"}}}}}; }

  json list(const ListType& type, const Constraint& constraint) {
    json out{{"type", "array"}, {"items", of_type(type.element(), nullptr, constraint)}};
    if (constraint.non_empty) out["minItems"] = 1;
    if (type.fixed_size) out.update({{"minItems", *type.fixed_size}, {"maxItems", *type.fixed_size}});
    return out;
  }

  json map(const MapType& type, const Constraint& constraint) {
    json out{{"type", "object"}, {"additionalProperties", of_type(type.element(), nullptr, constraint)}};
    if (constraint.non_empty) out["minProperties"] = 1;
    return out;
  }

  json choice(const ChoiceType& type, const void* member, const Constraint& constraint) {
    const RegistryBase& registry = registries_.get(type.signature());
    define(registry);
    json out = reference(registry.kind());
    const std::string usual = member ? type.base(const_cast<void*>(member)).name() : std::string{};
    if (!usual.empty()) {
      out = {{"if", {{"required", {"name"}}}}, {"then", out}, {"else", reference(registry.kind() + '.' + usual)}};
    }
    return constraint.required || constraint.non_empty ? out : or_null(std::move(out));
  }

  static std::string plain(std::string name) {
    std::replace(name.begin(), name.end(), ' ', '_');
    return name;
  }

  static json reference(const std::string& name) { return {{"$ref", "#/$defs/" + plain(name)}}; }

  void define(const RegistryBase& registry) {
    const std::string key = plain(registry.kind());
    if (definitions_.contains(key)) return;
    definitions_[key] = nullptr;  // seen, so that a choice inside an entry does not come here again
    json cases = json::array();
    for (const auto& entry : registry.entries()) {
      const std::string name = registry.kind() + '.' + entry->name;
      json body = structure(*entry->config, {{"name", {{"const", entry->name}}}});
      body["description"] = entry->help;
      definitions_[plain(name)] = std::move(body);
      const json named{{"properties", {{"name", {{"const", entry->name}}}}}};
      cases.push_back({{"if", named}, {"then", reference(name)}});
    }
    json names{{"enum", registry.names()}, {"description", "Which " + registry.kind() + '.'}};
    definitions_[key] = {{"type", "object"}, {"properties", {{"name", std::move(names)}}}, {"required", {"name"}}};
    if (!cases.empty()) definitions_[key]["allOf"] = std::move(cases);
  }

  const Registries& registries_;
  json definitions_ = json::object();
  std::vector<const StructType*> open_;
};

/// The top may say `include`, and then its other keys may lie in the included files.
void allow_include(json& root) {
  root["properties"]["include"] = {{"type", "array"},
                                   {"items", {{"type", "string"}, {"minLength", 1}}},
                                   {"description", "Files to build on, relative to this one; the later wins."}};
  if (!root.contains("required")) return;
  root["if"] = {{"not", {{"required", {"include"}}}}};
  root["then"] = {{"required", root["required"]}};
  root.erase("required");
}

}  // namespace

std::string detail::schema(const StructType& type, const Registries& registries) {
  SchemaMaker maker(registries);
  json root{{"$schema", "https://json-schema.org/draft/2020-12/schema"}};
  root.update(maker.structure(type));
  allow_include(root);
  root["$defs"] = maker.take_definitions();
  return root.dump(2);
}

}  // namespace unireplk::config
