#include "unireplk/config/reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>
#include <sstream>

#include "unireplk/config/scalar.h"
#include "unireplk/core/utf8.h"

namespace unireplk::config {
namespace {

using Name = std::shared_ptr<const std::string>;

Origin origin_at(const Name& name, int line, int column) {
  if (!name) return {.kind = Origin::Kind::kCommandLine};
  return {.kind = Origin::Kind::kFile, .file = name, .line = line + 1, .column = column + 1};
}

/// Builds nodes from yaml-cpp's events, so that every key is seen and aliases are expanded under our own
/// bounds.
class Builder : public YAML::EventHandler {
 public:
  Builder(Name name, std::vector<Problem>& problems) : name_(std::move(name)), problems_(problems) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { finish(make(Node::Kind::kNull, mark), anchor); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (tag != "!") refuse_tag(mark, tag);  // "!" is how quoted scalars are announced
    Node node = make(Node::Kind::kScalar, mark);
    node.scalar = value;
    node.is_quoted = tag == "!";
    finish(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail(at(mark), "an alias inside the value it names", "Write the value out.");
    charge(found->second.cost, at(mark));
    Node copy = found->second.node;
    last_cost_ = found->second.cost;
    add(std::move(copy));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(Node::Kind::kList, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(Node::Kind::kMap, mark, tag, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    size_t cost_before = 0;
    std::optional<Node> key;
  };
  struct Anchored {
    Node node;
    size_t cost = 0;
  };

  Origin at(const YAML::Mark& mark) const { return origin_at(name_, mark.line, mark.column); }

  [[noreturn]] static void fail(const Origin& origin, std::string message, std::string cure) {
    throw UserError({origin.text(), std::move(message), std::move(cure)});
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (!tag.empty() && tag != "?")
      fail(at(mark), format("expected no YAML tag, got {}", excerpt(tag)), "Remove the tag.");
  }

  Node make(Node::Kind kind, const YAML::Mark& mark) const {
    Node node;
    node.kind = kind;
    node.origin = at(mark);
    return node;
  }

  void charge(size_t bytes, const Origin& origin) {
    cost_ += bytes;
    if (cost_ > kMaxExpandedBytes) {
      fail(origin, format("expected at most {} MiB of values, aliases expanded, got more", kMaxExpandedBytes >> 20),
           "Use fewer aliases.");
    }
  }

  void start(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_tag(mark, tag);
    if (frames_.size() == kMaxDepth)
      fail(at(mark), format("expected at most {} nested values, got more", kMaxDepth), {});
    frames_.push_back({make(kind, mark), anchor, cost_, {}});
    charge(sizeof(Node), at(mark));
  }

  void end() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    last_cost_ = cost_ - frame.cost_before;
    remember(frame.node, frame.anchor);
    add(std::move(frame.node));
  }

  void finish(Node node, YAML::anchor_t anchor) {
    last_cost_ = sizeof(Node) + node.scalar.size();
    charge(last_cost_, node.origin);
    remember(node, anchor);
    add(std::move(node));
  }

  void remember(const Node& node, YAML::anchor_t anchor) {
    if (anchor == 0) return;
    charge(last_cost_, node.origin);
    anchors_[anchor] = {node, last_cost_};
  }

  void add(Node node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& top = frames_.back();
    if (top.node.kind == Node::Kind::kList) {
      top.node.items.push_back(std::move(node));
    } else if (!top.key) {
      set_key(top, std::move(node));
    } else {
      add_member(top, std::move(node));
    }
  }

  void set_key(Frame& top, Node key) const {
    if (key.kind != Node::Kind::kScalar) {
      throw UserError({key.origin.text(), format("expected a text as key, got {}", key.text()), "Quote the key."});
    }
    top.key = std::move(key);
  }

  void add_member(Frame& top, Node value) {
    const Node key = *std::exchange(top.key, std::nullopt);
    if (top.node.members.size() == kMaxKeys) {
      fail(key.origin, format("expected at most {} keys in a map, got more", kMaxKeys), {});
    }
    if (const Node* first = top.node.find(key.scalar)) {
      problems_.push_back({key.origin.text(), format("the key {} comes twice", excerpt(key.scalar)),
                           format("Its first value is at {}.", first->origin.text())});
      return;
    }
    if (value.kind == Node::Kind::kNull) value.origin = key.origin;  // yaml-cpp reports where the next token is
    top.node.members.push_back({key.scalar, key.origin, std::move(value)});
  }

  Name name_;
  std::vector<Problem>& problems_;
  Node root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t cost_ = 0;
  size_t last_cost_ = 0;
};

/// Refuse bytes that no text has; yaml-cpp would end silently at some of them.
void check_is_text(std::string_view text, const Name& name) {
  int line = 0;
  int column = 0;
  const size_t end_of_text = valid_utf8_prefix(text);
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_control = static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r';
    if (is_control || i == end_of_text) {
      throw UserError({origin_at(name, line, column).text(),
                       format("expected text, got the byte {}", static_cast<unsigned char>(c)),
                       "A config is a YAML file in UTF-8."});
    }
    ++column;
    if (c == '\n') {
      ++line;
      column = 0;
    }
  }
}

}  // namespace

Node read_yaml(std::string_view text, std::shared_ptr<const std::string> name, std::vector<Problem>& problems) {
  if (text.size() > kMaxFileBytes) {
    throw UserError({origin_at(name, -1, -1).text(),
                     format("expected at most {} MiB of YAML, got {} bytes", kMaxFileBytes >> 20, text.size()),
                     {}});
  }
  check_is_text(text, name);
  // yaml-cpp takes the end of the file for the end of a quoted text; the end of a document it does not.
  std::istringstream stream{std::string(text) + "\n...\n"};
  Builder builder(name, problems);
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    Node root = builder.take();
    if (root.kind == Node::Kind::kNull) root.origin = origin_at(name, 0, 0);
    Builder rest(name, problems);
    if (parser.HandleNextDocument(rest)) {
      throw UserError({rest.take().origin.text(), "expected one YAML document, got a second one", "Remove it."});
    }
    return root;
  } catch (const YAML::Exception& error) {
    const bool is_open_quote = error.msg == YAML::ErrorMsg::DOC_IN_SCALAR;
    throw UserError({origin_at(name, error.mark.line, error.mark.column).text(), "YAML syntax: " + error.msg,
                     is_open_quote ? "Close the quote that was opened before." : ""});
  }
}

}  // namespace unireplk::config
