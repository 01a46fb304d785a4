#include "unireplk/formats/torch_writer.h"

#include <algorithm>
#include <limits>
#include <set>

#include "unireplk/core/error.h"
#include "unireplk/core/utf8.h"
#include "unireplk/formats/torch_types.h"

namespace unireplk::formats {
namespace {

const std::string kRoot = "archive/";

/// Text of a pickle, protocol 2. Opcodes by their names in Python's pickletools.
class PickleText {
 public:
  void op(char code) { text_ += code; }
  void op(uint8_t code) { text_ += static_cast<char>(code); }

  void protocol() {
    op(uint8_t{0x80});
    number(2, 1);
  }

  void unicode(std::string_view text) {  // BINUNICODE
    op('X');
    number(static_cast<int64_t>(text.size()), 4);
    text_ += text;
  }

  void integer(int64_t value) {
    if (value >= 0 && value <= 0xff) {  // BININT1
      op('K');
      number(value, 1);
    } else if (value >= 0 && value <= std::numeric_limits<int32_t>::max()) {  // BININT
      op('J');
      number(value, 4);
    } else {  // LONG1
      op(uint8_t{0x8a});
      number(8, 1);
      number(value, 8);
    }
  }

  void boolean(bool value) { op(uint8_t(value ? 0x88 : 0x89)); }

  /// \param full  "module.name", the module up to the last dot.
  void global(std::string_view full) {
    const auto dot = full.rfind('.');
    op('c');
    text_ += full.substr(0, dot);
    op('\n');
    text_ += full.substr(dot + 1);
    op('\n');
  }

  void tuple(std::span<const int64_t> values) {
    op('(');
    for (const int64_t value : values) integer(value);
    op('t');
  }

  const std::string& str() const { return text_; }

 private:
  void number(int64_t value, size_t width) { text_.append(reinterpret_cast<const char*>(&value), width); }

  std::string text_;
};

std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i > 0; --i) {
    strides[i - 1] = step;
    step *= std::max<int64_t>(shape[i - 1], 1);
  }
  return strides;
}

/// The call that makes a tensor of storage `key`. Types without a storage class of their own take the newer form.
void write_tensor(PickleText& out, const TorchEntry& entry, size_t key, int64_t bytes) {
  const auto storage_class = torch_storage_class(entry.dtype);
  const bool untyped = storage_class.empty();
  out.global(untyped ? "torch._utils._rebuild_tensor_v3" : "torch._utils._rebuild_tensor_v2");
  out.op('(');
  out.op('(');
  out.unicode("storage");
  out.global(untyped ? "torch.storage.UntypedStorage" : storage_class);
  out.unicode(std::to_string(key));
  out.unicode("cpu");
  out.integer(untyped ? bytes : bytes / size_in_bytes(entry.dtype));
  out.op('t');
  out.op('Q');     // BINPERSID
  out.integer(0);  // offset
  out.tuple(entry.shape);
  out.tuple(dense_strides(entry.shape));
  out.boolean(false);  // requires_grad
  out.global("collections.OrderedDict");
  out.op(')');
  out.op('R');  // no hooks
  if (untyped) out.global(torch_dtype_name(entry.dtype));
  out.op('t');
  out.op('R');
}

std::vector<int64_t> sizes_of(std::span<const TorchEntry> tensors) {
  std::vector<int64_t> sizes;
  std::set<std::string_view> names;
  for (const auto& entry : tensors) {
    UNIREPLK_CHECK(is_utf8(entry.name) && names.insert(entry.name).second,
                   "torch file: the name \"{}\" is not UTF-8 or appears twice", entry.name);
    const auto bytes = dense_bytes(entry.dtype, entry.shape);
    UNIREPLK_CHECK(bytes.has_value(), "torch file: the shape of \"{}\" is too large", entry.name);
    sizes.push_back(*bytes);
  }
  return sizes;
}

std::string pickled(std::span<const TorchEntry> tensors, const std::vector<int64_t>& sizes) {
  PickleText out;
  out.protocol();
  out.op('}');
  out.op('(');
  for (size_t i = 0; i < tensors.size(); ++i) {
    out.unicode(tensors[i].name);
    write_tensor(out, tensors[i], i, sizes[i]);
  }
  out.op('u');
  out.op('.');
  return out.str();
}

}  // namespace

void write_torch_file(std::span<const TorchEntry> tensors,
                      const std::function<std::span<const std::byte>(size_t)>& bytes_of, const ZipWriter::Sink& sink) {
  const auto sizes = sizes_of(tensors);
  ZipWriter zip(sink);
  const auto add = [&](const std::string& name, const std::string& text) {
    zip.add(kRoot + name, std::as_bytes(std::span(text)), kTorchAlignment);
  };
  add("data.pkl", pickled(tensors, sizes));
  add(".format_version", "1");
  add(".storage_alignment", std::to_string(kTorchAlignment));
  add("byteorder", "little");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto bytes = bytes_of(i);
    UNIREPLK_CHECK(std::ssize(bytes) == sizes[i], "torch file: \"{}\" has {} bytes, its shape needs {}",
                   tensors[i].name, bytes.size(), sizes[i]);
    zip.add(format("{}data/{}", kRoot, i), bytes, kTorchAlignment);
  }
  add("version", "3\n");
  zip.finish();
}

}  // namespace unireplk::formats
