#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

/// tar archives by hand, also wrong ones.
namespace unireplk::test {

/// Header fields whose names say where they lie; `size` as it stands in the file.
struct TarHeader {
  std::string name;
  std::string size = "";
  char type = '0';
  std::string magic = std::string(
      "ustar\0"
      "00",
      8);
  std::string prefix = "";
};

inline std::string octal(uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%011llo", static_cast<unsigned long long>(value));
  return text;
}

/// A header block with the right checksum.
inline std::string tar_block(const TarHeader& header) {
  std::string block(512, '\0');
  const auto put = [&](size_t at, const std::string& text) { block.replace(at, text.size(), text); };
  put(0, header.name);
  put(100, "0000644");
  put(124, header.size);
  put(136, octal(0));
  put(148, "        ");
  block[156] = header.type;
  put(257, header.magic);
  put(345, header.prefix);
  uint64_t sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(148, octal(sum).substr(5) + '\0');
  return block;
}

/// A header and content that fills whole blocks.
inline std::string tar_member(TarHeader header, const std::string& content) {
  if (header.size.empty()) header.size = octal(content.size());
  std::string out = tar_block(header) + content;
  out.resize((out.size() + 511) / 512 * 512, '\0');
  return out;
}

inline std::string tar_end() { return std::string(1024, '\0'); }

/// An archive of files: names and contents.
inline std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  for (const auto& [name, content] : files) out += tar_member({.name = name}, content);
  return out + tar_end();
}

}  // namespace unireplk::test
