#include "unireplk/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "unireplk/formats/json.h"

namespace unireplk::formats {
namespace {

using nlohmann::json;

constexpr int64_t kLengthBytes = 8;
constexpr int kMaxDepth = 4;  // file, tensor, shape; one to spare
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kCure = "The file is damaged or no safetensors file; make or download it again.";

Problem problem(const std::string& place, std::string message) {
  return {.place = place, .message = std::move(message), .cure = kCure};
}

std::optional<int64_t> extent(const json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<std::vector<int64_t>> extents(const json& value) {
  if (!value.is_array()) return std::nullopt;
  std::vector<int64_t> out;
  for (const json& element : value) {
    const auto number = extent(element);
    if (!number) return std::nullopt;
    out.push_back(*number);
  }
  return out;
}

/// Offsets in the result count from the start of the data.
Result<SafetensorsEntry> parse_entry(const std::string& name, const json& value, const std::string& place) {
  const auto refuse = [&](const std::string& what) { return problem(place, format("tensor \"{}\": {}", name, what)); };
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets")) {
    return refuse("expected an object with dtype, shape and data_offsets alone");
  }
  const json& type_name = value["dtype"];
  const auto dtype = type_name.is_string() ? dtype_named(type_name.get_ref<const std::string&>()) : std::nullopt;
  if (!dtype) return refuse(format("unknown dtype {}", type_name.dump()));
  auto shape = extents(value["shape"]);
  if (!shape) return refuse("expected shape to be a list of integers >= 0");
  const auto offsets = extents(value["data_offsets"]);
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    return refuse("expected data_offsets to be [begin, end] with 0 <= begin <= end");
  }
  const int64_t bytes = (*offsets)[1] - (*offsets)[0];
  const auto expected = dense_bytes(*dtype, *shape);
  if (!expected) return refuse("the shape is too large to be true");
  if (*expected != bytes) return refuse(format("expected {} bytes for its shape, got {}", *expected, bytes));
  return SafetensorsEntry{name, *dtype, std::move(*shape), (*offsets)[0], bytes};
}

std::optional<Problem> read_metadata(const json& value, const std::string& place,
                                     std::map<std::string, std::string>& metadata) {
  if (!value.is_object()) return problem(place, "expected __metadata__ to be an object of texts");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) return problem(place, format("metadata \"{}\": expected a text", key));
    metadata.emplace(key, text.get<std::string>());
  }
  return std::nullopt;
}

/// Sort by place in the file and refuse anything but a gapless cover of the data.
std::optional<Problem> order_entries(std::vector<SafetensorsEntry>& tensors, int64_t data_bytes,
                                     const std::string& place) {
  std::ranges::stable_sort(tensors, {}, [](const SafetensorsEntry& e) { return std::tuple(e.offset, e.bytes); });
  int64_t end = 0;
  for (const auto& entry : tensors) {
    if (entry.offset != end) {
      return problem(place, format("tensor \"{}\" {}: expected it to begin at byte {} of the data, got {}", entry.name,
                                   entry.offset < end ? "overlaps the one before" : "leaves a gap", end, entry.offset));
    }
    if (entry.bytes > data_bytes - end) {
      return problem(
          place, format("tensor \"{}\" needs {} bytes, only {} are left", entry.name, entry.bytes, data_bytes - end));
    }
    end += entry.bytes;
  }
  if (end != data_bytes) return problem(place, format("{} bytes after the last tensor", data_bytes - end));
  return std::nullopt;
}

}  // namespace

Result<int64_t> safetensors_header_bytes(std::span<const std::byte> start, int64_t file_size,
                                         const std::string& place) {
  if (file_size < kLengthBytes + 2 || std::ssize(start) < kLengthBytes) {
    return problem(place, format("expected at least {} bytes, got {}", kLengthBytes + 2, file_size));
  }
  uint64_t length = 0;
  std::memcpy(&length, start.data(), kLengthBytes);
  if (length > static_cast<uint64_t>(kSafetensorsMaxHeader)) {
    return problem(place, format("expected a header of at most {} bytes, got {}", kSafetensorsMaxHeader, length));
  }
  const int64_t total = kLengthBytes + static_cast<int64_t>(length);
  if (total > file_size) {
    return problem(place, format("expected a header of {} bytes, the file ends after {}", total, file_size));
  }
  return total;
}

Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> header, int64_t file_size,
                                                   const std::string& place) {
  const auto header_bytes = safetensors_header_bytes(header, file_size, place);
  if (!header_bytes) return header_bytes.problem();
  UNIREPLK_CHECK(std::ssize(header) == *header_bytes, "header of {}: expected {} bytes, got {}", place, *header_bytes,
                 header.size());
  const auto text = header.subspan(kLengthBytes);
  const std::string_view view(reinterpret_cast<const char*>(text.data()), text.size());
  if (!view.starts_with('{')) return problem(place, "expected the header to start with {");
  auto parsed = parse_json(view, place, kMaxDepth);
  if (!parsed) return problem(place, "the header is " + parsed.problem().message);

  SafetensorsHeader out;
  for (const auto& [name, value] : parsed->items()) {
    if (name == kMetadata) {
      if (auto bad = read_metadata(value, place, out.metadata)) return *std::move(bad);
      continue;
    }
    auto entry = parse_entry(name, value, place);
    if (!entry) return entry.problem();
    out.tensors.push_back(std::move(entry).value());
  }
  if (auto bad = order_entries(out.tensors, file_size - *header_bytes, place)) return *std::move(bad);
  for (auto& entry : out.tensors) entry.offset += *header_bytes;
  return out;
}

std::string safetensors_header(std::span<const SafetensorsEntry> tensors,
                               const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  if (!metadata.empty()) root[kMetadata] = metadata;
  std::set<std::string_view> names;
  int64_t offset = 0;
  for (const auto& entry : tensors) {
    UNIREPLK_CHECK(entry.name != kMetadata && names.insert(entry.name).second,
                   "safetensors: the name \"{}\" is reserved or appears twice", entry.name);
    const auto bytes = dense_bytes(entry.dtype, entry.shape);
    UNIREPLK_CHECK(bytes.has_value(), "safetensors: the shape of \"{}\" is too large", entry.name);
    root.push_back(
        {entry.name,
         {{"dtype", name_of(entry.dtype)}, {"shape", entry.shape}, {"data_offsets", {offset, offset + *bytes}}}});
    offset += *bytes;
  }
  std::string text;
  try {
    text = root.dump();
  } catch (const json::exception& error) {
    throw ContractError(format("safetensors: a name or metadata text is not UTF-8: {}", error.what()));
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string out(kLengthBytes, '\0');
  std::memcpy(out.data(), &length, kLengthBytes);
  return out + text;
}

}  // namespace unireplk::formats
