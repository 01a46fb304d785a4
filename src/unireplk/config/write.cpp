#include "unireplk/config/write.h"

#include <algorithm>
#include <array>

#include "unireplk/config/scalar.h"

namespace unireplk::config {
namespace {

/// Words that some YAML reader takes for something else than a text.
bool is_reserved(std::string text) {
  static constexpr std::array kWords = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::find(kWords.begin(), kWords.end(), text) != kWords.end();
}

bool is_plain_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/'; }
bool is_plain(char c) { return is_plain_start(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; }

std::string yaml_text(const std::string& text) {
  const bool plain = !text.empty() && is_plain_start(text[0]) && std::all_of(text.begin(), text.end(), is_plain);
  return plain && !is_reserved(text) ? text : in_quotes(text);
}

bool is_inline(const Node& node) {
  if (node.kind == Node::Kind::kMap) return node.members.empty();
  return std::all_of(node.items.begin(), node.items.end(), [](const Node& item) {
    return item.kind == Node::Kind::kScalar || item.kind == Node::Kind::kNull;
  });
}

std::string inline_text(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kMap:
      return "{}";
    case Node::Kind::kScalar:
      return node.is_quoted ? yaml_text(node.scalar) : node.scalar;
    case Node::Kind::kList:
      break;
  }
  std::string out;
  for (const auto& item : node.items) out += (out.empty() ? "" : ", ") + inline_text(item);
  return '[' + out + ']';
}

class YamlWriter {
 public:
  explicit YamlWriter(bool with_origins) : with_origins_(with_origins) {}

  std::string block(const Node& node, size_t indent) const {
    if (is_inline(node)) return std::string(indent, ' ') + line(node);
    std::string out;
    for (const auto& member : node.members) {
      out += std::string(indent, ' ') + yaml_text(member.key) + ':';
      out += is_inline(member.value) ? ' ' + line(member.value) : '\n' + block(member.value, indent + 2);
    }
    for (const auto& item : node.items) {
      std::string text = block(item, indent + 2);
      text[indent] = '-';
      out += text;
    }
    return out;
  }

 private:
  std::string line(const Node& node) const {
    return inline_text(node) + (with_origins_ ? "  # " + node.origin.text() : "") + '\n';
  }

  bool with_origins_;
};

}  // namespace

std::string write_yaml(const Node& node, bool with_origins) { return YamlWriter(with_origins).block(node, 0); }

std::string write_json(const Node& node) {
  std::string out;
  switch (node.kind) {
    case Node::Kind::kNull:
      return "null";
    case Node::Kind::kScalar:
      return node.is_quoted ? in_quotes(node.scalar) : node.scalar;
    case Node::Kind::kMap:
      for (const auto& member : node.members) {
        out += (out.empty() ? "" : ",") + in_quotes(member.key) + ':' + write_json(member.value);
      }
      return '{' + out + '}';
    case Node::Kind::kList:
      break;
  }
  for (const auto& item : node.items) out += (out.empty() ? "" : ",") + write_json(item);
  return '[' + out + ']';
}

}  // namespace unireplk::config
