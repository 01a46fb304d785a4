#include "unireplk/formats/npy_texts.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "unireplk/core/utf8.h"
#include "unireplk/core/whole_number.h"
#include "unireplk/formats/byte_order.h"
#include "unireplk/formats/npy_header.h"
#include "unireplk/formats/pickle.h"

namespace unireplk::formats {
namespace {

constexpr int64_t kMostTextBytes = 4096;  // of one text
constexpr std::array kArrayParts{
    std::string_view("numpy.core.multiarray._reconstruct"), std::string_view("numpy._core.multiarray._reconstruct"),
    std::string_view("numpy.ndarray"), std::string_view("numpy.dtype"), std::string_view("_codecs.encode")};

/// A text of fixed width; zeros at its end fill it up.
std::string wide_text(std::span<const std::byte> cell, bool is_big_endian) {
  std::string out;
  for (size_t at = 0; at < cell.size(); at += 4) {
    const auto unit = cell.subspan(at, 4);
    const auto code = is_big_endian ? big_endian(unit) : static_cast<uint32_t>(little_endian(unit));
    if (!append_utf8(out, code)) throw NpyRefusal{"a text holds what is no character"};
  }
  out.erase(out.find_last_not_of('\0') + 1);
  return out;
}

std::string narrow_text(std::span<const std::byte> cell) {
  std::string out(reinterpret_cast<const char*>(cell.data()), cell.size());
  out.erase(out.find_last_not_of('\0') + 1);
  if (!is_utf8(out)) throw NpyRefusal{"a text is not UTF-8"};
  return out;
}

std::vector<std::string> fixed_texts(const NpyHeader& header, std::span<const std::byte> data) {
  const char order = header.type[0], kind = header.type[1];
  const auto width = whole_number(std::string_view(header.type).substr(2));
  const int64_t unit = kind == 'U' ? 4 : 1;
  if (!width || *width < 1 || *width > kMostTextBytes / unit) {
    throw NpyRefusal{format("expected texts of 1 to {} bytes, got numpy type \"{}\"", kMostTextBytes, header.type)};
  }
  const auto bytes = static_cast<size_t>(*width * unit);
  if (data.size() % bytes != 0 || std::cmp_not_equal(data.size() / bytes, header.shape[0])) {
    throw NpyRefusal{format("expected {} texts of {} bytes, got {} bytes", header.shape[0], bytes, data.size())};
  }
  std::vector<std::string> texts;
  for (size_t at = 0; at < data.size(); at += bytes) {
    const auto cell = data.subspan(at, bytes);
    texts.push_back(kind == 'U' ? wide_text(cell, order == '>') : narrow_text(cell));
  }
  return texts;
}

/// The list that the state of a pickled array ends with.
const PickleValue& objects_of(const Pickle& pickle) {
  const auto& array = pickle[pickle.root];
  const bool is_array = array.kind == PickleKind::kCall && array.items.size() == 3 &&
                        pickle[array.items[0]].text.ends_with("multiarray._reconstruct");
  if (is_array) {
    const auto& state = pickle[array.items[2]];
    if (state.kind == PickleKind::kTuple && state.items.size() == 5) {
      const auto& list = pickle[state.items[4]];
      if (list.kind == PickleKind::kList) return list;
    }
  }
  throw NpyRefusal{"the pickle holds no array of objects"};
}

std::vector<std::string> object_texts(const NpyHeader& header, std::span<const std::byte> data,
                                      const std::string& place) {
  const auto allowed = [](std::string_view global) {
    return std::ranges::find(kArrayParts, global) != kArrayParts.end();
  };
  const auto pickle = parse_pickle(data, place, allowed);
  if (!pickle) throw NpyRefusal{pickle.problem().message};
  const auto& list = objects_of(*pickle);
  if (std::cmp_not_equal(list.items.size(), header.shape[0])) {
    throw NpyRefusal{format("expected {} objects, got {}", header.shape[0], list.items.size())};
  }
  std::vector<std::string> texts;
  for (const auto id : list.items) {
    const auto& value = (*pickle)[id];
    if (value.kind != PickleKind::kText) throw NpyRefusal{format("expected texts, got {}", name_of(value.kind))};
    texts.push_back(value.text);
  }
  return texts;
}

std::vector<std::string> texts_or_throw(std::span<const std::byte> file, const std::string& place) {
  const auto header = parse_npy_header(file);
  if (header.shape.size() != 1) {
    throw NpyRefusal{format("expected one row of texts, got {} dimensions", header.shape.size())};
  }
  const auto data = file.subspan(header.data_begin);
  const std::string_view type = header.type;
  const bool is_fixed = type.size() > 2 && std::string_view("<>=|").find(type[0]) != std::string_view::npos &&
                        (type[1] == 'U' || type[1] == 'S');
  if (is_fixed) return fixed_texts(header, data);
  if (type == "|O") return object_texts(header, data, place);
  throw NpyRefusal{format("expected texts, got numpy type \"{}\"", type)};
}

}  // namespace

Result<std::vector<std::string>> parse_npy_texts(std::span<const std::byte> file, const std::string& place) {
  try {
    return texts_or_throw(file, place);
  } catch (const NpyRefusal& refusal) {
    return Problem{.place = place, .message = refusal.message, .cure = ""};
  }
}

}  // namespace unireplk::formats
