// Without a fuzzer: every file of a corpus as it is, cut short, and changed in many ways, the same ones each time.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "fuzz/target.h"

namespace {

using unireplk::test::Bytes;
using unireplk::test::kTarget;

Bytes read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

/// One to four changes: a byte, an interesting number, a piece taken out or put in twice.
void change(Bytes& bytes, std::mt19937& random) {
  constexpr uint8_t kInteresting[] = {0, 1, 2, 0x7f, 0x80, 0xff};
  for (uint32_t left = 1 + random() % 4; left > 0 && !bytes.empty(); --left) {
    const size_t at = random() % bytes.size();
    const size_t count = std::min<size_t>(1 + random() % 16, bytes.size() - at);
    const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(at),
               end = begin + static_cast<std::ptrdiff_t>(count);
    switch (random() % 5) {
      case 0:
        bytes[at] = static_cast<std::byte>(random());
        break;
      case 1:
        bytes[at] ^= static_cast<std::byte>(1u << random() % 8);
        break;
      case 2:
        std::fill(begin, end, static_cast<std::byte>(kInteresting[random() % std::size(kInteresting)]));
        break;
      case 3:
        bytes.erase(begin, end);
        break;
      default: {
        const Bytes piece(begin, end);
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(random() % bytes.size()), piece.begin(), piece.end());
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "expected FOLDER CHANGES\n"), 2;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) return std::fprintf(stderr, "%s: no files\n", argv[1]), 2;
  std::mt19937 random(0);
  unireplk::test::Tally changed;
  for (const auto& file : files) {
    const auto original = read(file);
    kTarget.try_bytes(original);
    for (size_t length = 0; length < original.size(); ++length) {
      kTarget.try_bytes(std::span(original).first(length));
    }
    for (long i = 0; i < std::strtol(argv[2], nullptr, 10); ++i) {
      auto bytes = original;
      unireplk::test::change_somewhere(
          bytes, [&](Bytes& part) { change(part, random); }, random);
      changed.add(kTarget.try_bytes(bytes));
    }
  }
  std::printf("%zu files\n", files.size());
  changed.print();
  return changed.is_enough() ? 0 : 1;
}
