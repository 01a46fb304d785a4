#include "unireplk/export/network_json.h"

#include <nlohmann/json.hpp>

#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/models/describe.h"

namespace unireplk::exporting {
namespace {

using models::Mode;
using nlohmann::json;

constexpr std::pair<const char*, Mode> kModes[] = {
    {"classifier", Mode::kClassifier}, {"features", Mode::kFeatures}, {"trunk", Mode::kTrunk}};
constexpr std::pair<const char*, Collate> kCollates[] = {
    {"stack", Collate::kStack}, {"pad", Collate::kPad}, {"list", Collate::kList}};
constexpr std::pair<const char*, at::ScalarType> kDtypes[] = {
    {"uint8", at::kByte},     {"int8", at::kChar},    {"int16", at::kShort},       {"int32", at::kInt},
    {"int64", at::kLong},     {"float16", at::kHalf}, {"bfloat16", at::kBFloat16}, {"float32", at::kFloat},
    {"float64", at::kDouble}, {"bool", at::kBool}};

template <class Value, size_t N>
const char* name_of(const std::pair<const char*, Value> (&table)[N], Value value) {
  for (const auto& [name, known] : table) {
    if (known == value) return name;
  }
  throw ContractError("no name for an enum value");
}

template <class Value, size_t N>
Value value_of(const std::pair<const char*, Value> (&table)[N], const std::string& text, const std::string& place) {
  for (const auto& [name, known] : table) {
    if (text == name) return known;
  }
  throw UserError({place, format("unknown value \"{}\"", text), ""});
}

/// Run a reader of JSON and turn a wrong type or a missing key into a UserError.
template <class Read>
auto guarded(const std::string& place, Read read) {
  try {
    return read();
  } catch (const json::exception& error) {
    throw UserError({place, format("not what this program writes ({})", error.what()), ""});
  }
}

}  // namespace

json to_json(const models::UniRepLKNetOptions& options) {
  auto rules = json::array();
  for (const auto& rule : options.branches) {
    json entry{{"kernel_size", rule.kernel_size}, {"branches", rule.branches}};
    if (rule.stage) entry["stage"] = *rule.stage;
    rules.push_back(std::move(entry));
  }
  return {{"name", models::variant_name(options)},
          {"depths", options.depths},
          {"dims", options.dims},
          {"kernel_sizes", options.kernel_sizes},
          {"branches", std::move(rules)},
          {"in_channels", options.in_channels},
          {"num_classes", options.num_classes},
          {"mode", name_of(kModes, options.mode)},
          {"drop_path", options.drop_path},
          {"layer_scale_init", options.layer_scale_init},
          {"deploy", options.deploy}};
}

models::UniRepLKNetOptions options_from_json(const json& source, const std::string& place) {
  auto options = guarded(place, [&] {
    models::UniRepLKNetOptions o;
    source.at("depths").get_to(o.depths);
    source.at("dims").get_to(o.dims);
    source.at("kernel_sizes").get_to(o.kernel_sizes);
    for (const auto& entry : source.at("branches")) {
      models::BranchRule rule{.kernel_size = entry.at("kernel_size"), .stage = {}, .branches = entry.at("branches")};
      if (entry.contains("stage")) rule.stage = entry.at("stage").get<int64_t>();
      o.branches.push_back(std::move(rule));
    }
    source.at("in_channels").get_to(o.in_channels);
    source.at("num_classes").get_to(o.num_classes);
    o.mode = value_of(kModes, source.at("mode"), place);
    source.at("drop_path").get_to(o.drop_path);
    source.at("layer_scale_init").get_to(o.layer_scale_init);
    source.at("deploy").get_to(o.deploy);
    return o;
  });
  try {
    return models::resolved(std::move(options));
  } catch (const UserError& error) {
    throw UserError({place, error.problems().front().text(), ""});
  }
}

json to_json(const DataInfo& info) {
  auto fields = json::array();
  for (const auto& field : info.fields) {
    fields.push_back({{"name", field.name},
                      {"dtype", name_of(kDtypes, field.dtype)},
                      {"shape", field.shape},
                      {"collate", name_of(kCollates, field.collate)},
                      {"meaning", field.meaning}});
  }
  return {{"fields", std::move(fields)}, {"classes", info.classes}};
}

DataInfo data_info_from_json(const json& source, const std::string& place) {
  return guarded(place, [&] {
    DataInfo info;
    for (const auto& entry : source.at("fields")) {
      info.fields.push_back({.name = entry.at("name"),
                             .dtype = value_of(kDtypes, entry.at("dtype"), place),
                             .shape = entry.at("shape"),
                             .collate = value_of(kCollates, entry.at("collate"), place),
                             .meaning = entry.at("meaning")});
    }
    source.at("classes").get_to(info.classes);
    return info;
  });
}

}  // namespace unireplk::exporting
