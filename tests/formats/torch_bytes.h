#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

/// Bytes of zip archives and pickles, right or wrong on purpose.
namespace unireplk::test {

inline std::string little(uint64_t value, size_t width) {
  std::string out;
  for (size_t i = 0; i < width; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
  return out;
}

/// One entry of an archive. What the headers say follows from the content unless it is set.
struct ZipPart {
  std::string name, content = {};
  bool deflate = false;
  std::function<void(std::string& local)> spoil_local = [](std::string&) {};
  std::function<void(std::string& central)> spoil_central = [](std::string&) {};
};

inline std::string deflated(const std::string& content) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, content.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  z.avail_in = static_cast<uInt>(content.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

inline uint32_t checksum(const std::string& content) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
}

inline std::string zip_of(const std::vector<ZipPart>& parts) {
  std::string file, table;
  for (const auto& part : parts) {
    const auto packed = part.deflate ? deflated(part.content) : part.content;
    const auto common = little(0, 2) + little(part.deflate ? 8 : 0, 2) + little(0, 4) +
                        little(checksum(part.content), 4) + little(packed.size(), 4) + little(part.content.size(), 4) +
                        little(part.name.size(), 2) + little(0, 2);
    auto local = "PK\3\4" + little(20, 2) + common;
    auto central = "PK\1\2" + little(20, 2) + little(20, 2) + common + little(0, 2) + little(0, 2) + little(0, 2) +
                   little(0, 4) + little(file.size(), 4);
    part.spoil_local(local);
    part.spoil_central(central);
    file += local + part.name + packed;
    table += central + part.name;
  }
  return file + table + "PK\5\6" + little(0, 4) + little(parts.size(), 2) + little(parts.size(), 2) +
         little(table.size(), 4) + little(file.size(), 4) + little(0, 2);
}

inline void put_at(std::string& record, size_t at, uint64_t value, size_t width) {
  record.replace(at, width, little(value, width));
}

/// Opcodes, protocol 2.
namespace op {

inline std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }

inline std::string integer(int64_t value) { return "\x8a" + little(8, 1) + little(static_cast<uint64_t>(value), 8); }

inline std::string tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const auto& item : items) out += item;
  return out + "t";
}

inline std::string integers(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (const int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "}(";
  for (const auto& [key, value] : items) out += text(key) + value;
  return out + "u";
}

inline std::string pickle(const std::string& value) { return "\x80\x02" + value + "."; }

inline std::string call(const std::string& function, const std::vector<std::string>& arguments) {
  return function + tuple(arguments) + "R";
}

inline std::string storage(const std::string& key, int64_t elements, const std::string& type = "FloatStorage") {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(elements)}) + "Q";
}

inline std::string hooks() { return call(global("collections", "OrderedDict"), {}); }

inline std::string tensor(const std::string& numbers, int64_t offset, const std::vector<int64_t>& shape,
                          const std::vector<int64_t>& strides) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {numbers, integer(offset), integers(shape), integers(strides), "\x89", hooks()});
}

}  // namespace op

/// A file of torch.save with this pickled object and storages.
inline std::string torch_zip(const std::string& object,
                             const std::vector<std::pair<std::string, std::string>>& storages = {},
                             bool deflate = false) {
  std::vector<ZipPart> parts{{.name = "a/data.pkl", .content = op::pickle(object), .deflate = deflate}};
  for (const auto& [key, bytes] : storages) {
    parts.push_back({.name = "a/data/" + key, .content = bytes, .deflate = deflate});
  }
  parts.push_back({.name = "a/version", .content = "3\n"});
  return zip_of(parts);
}

/// The form from before PyTorch 1.6. `storages`: key and bytes behind their count.
inline std::string torch_legacy(const std::string& object,
                                const std::vector<std::pair<std::string, std::string>>& storages,
                                size_t element_bytes = 4) {
  std::string keys = "](";
  std::string data;
  for (const auto& [key, bytes] : storages) {
    keys += op::text(key);
    data += little(bytes.size() / element_bytes, 8) + bytes;
  }
  return op::pickle(std::string("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12)) +
         op::pickle("M" + little(1001, 2)) +
         op::pickle(op::dict({{"protocol_version", "M" + little(1001, 2)}, {"little_endian", "\x88"}})) +
         op::pickle(object) + op::pickle(keys + "e") + data;
}

template <class T>
std::string bytes_of_numbers(const std::vector<T>& numbers) {
  std::string out(numbers.size() * sizeof(T), '\0');
  if (!out.empty()) std::memcpy(out.data(), numbers.data(), out.size());
  return out;
}

}  // namespace unireplk::test
