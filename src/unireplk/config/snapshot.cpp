#include "unireplk/config/snapshot.h"

#include <cmath>

#include "unireplk/config/registry.h"

namespace unireplk::config {
namespace {

Node node_of(Node::Kind kind, const Node* written) {
  Node node;
  node.kind = kind;
  if (written) node.origin = written->origin;
  return node;
}

const Node* child(const Node* written, std::string_view key) { return written ? written->find(key) : nullptr; }

void append(Node& map, std::string key, Node value) {
  map.members.push_back({std::move(key), value.origin, std::move(value)});
}

Node scalar(const ScalarType& type, const void* value, const Node* written) {
  Node node = node_of(Node::Kind::kScalar, written);
  const Scalar held = type.get(value);
  const auto* number = std::get_if<double>(&held);
  UNIREPLK_CHECK(!number || std::isfinite(*number), "a config holds the number {}", *number);
  node.scalar = write_scalar(held);
  node.is_quoted = std::holds_alternative<std::string>(held);
  return node;
}

Node list(const ListType& type, const void* value, const Node* written) {
  Node node = node_of(Node::Kind::kList, written);
  const size_t size = type.size(value);
  const bool same = written && written->items.size() == size;
  for (size_t i = 0; i < size; ++i) {
    const void* item = type.item(const_cast<void*>(value), i);
    node.items.push_back(snapshot(type.element(), item, same ? &written->items[i] : nullptr));
  }
  return node;
}

Node map(const MapType& type, const void* value, const Node* written) {
  Node node = node_of(Node::Kind::kMap, written);
  for (const auto& key : type.keys(value)) {
    const void* item = type.item(const_cast<void*>(value), key);
    append(node, key, snapshot(type.element(), item, child(written, key)));
  }
  return node;
}

void add_fields(Node& map, const StructType& type, const void* value, const Node* written) {
  for (const auto& field : fields_of(type, value)) {
    append(map, field.key, snapshot(*field.type, field.member, child(written, field.key)));
  }
}

Node choice(const ChoiceType& type, const void* value, const Node* written) {
  const ChoiceBase& base = type.base(const_cast<void*>(value));
  if (base.name().empty()) return node_of(Node::Kind::kNull, written);
  Node node = node_of(Node::Kind::kMap, written);
  Node name = node_of(Node::Kind::kScalar, child(written, "name"));
  name.scalar = base.name();
  name.is_quoted = true;
  append(node, "name", std::move(name));
  if (!base.empty()) add_fields(node, *base.entry()->config, base.raw_config(), written);
  return node;
}

Node optional(const OptionalType& type, const void* value, const Node* written) {
  const void* held = type.get(value);
  return held ? snapshot(type.element(), held, written) : node_of(Node::Kind::kNull, written);
}

}  // namespace

Node snapshot(const StructType& type, const void* value, const Node* written) {
  Node node = node_of(Node::Kind::kMap, written);
  add_fields(node, type, value, written);
  return node;
}

Node snapshot(const Type& type, const void* value, const Node* written) {
  return std::visit(Overloaded{
                        [&](const ScalarType& t) { return scalar(t, value, written); },
                        [&](const OptionalType& t) { return optional(t, value, written); },
                        [&](const ListType& t) { return list(t, value, written); },
                        [&](const MapType& t) { return map(t, value, written); },
                        [&](const StructType& t) { return snapshot(t, value, written); },
                        [&](const ChoiceType& t) { return choice(t, value, written); },
                    },
                    type.is);
}

}  // namespace unireplk::config
