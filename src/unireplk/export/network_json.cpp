#include "unireplk/export/network_json.h"

#include <nlohmann/json.hpp>

#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/models/describe.h"
#include "unireplk/models/network.h"

namespace unireplk::exporting {
namespace {

using models::Mode;
using nlohmann::json;

constexpr std::pair<const char*, Mode> kModes[] = {
    {"classifier", Mode::kClassifier}, {"features", Mode::kFeatures}, {"trunk", Mode::kTrunk}};
constexpr const auto& kWindowNorms = config::EnumNames<models::WindowNormKind>::values;
constexpr const auto& kSeen = config::EnumNames<models::SeenByHead>::values;
constexpr const auto& kTokenOrders = config::EnumNames<models::TokenOrder>::values;
constexpr const auto& kMemories = config::EnumNames<models::EncoderMemory>::values;
constexpr std::pair<const char*, Collate> kCollates[] = {
    {"stack", Collate::kStack}, {"pad", Collate::kPad}, {"list", Collate::kList}};
constexpr std::pair<const char*, at::ScalarType> kDtypes[] = {
    {"uint8", at::kByte},     {"int8", at::kChar},    {"int16", at::kShort},       {"int32", at::kInt},
    {"int64", at::kLong},     {"float16", at::kHalf}, {"bfloat16", at::kBFloat16}, {"float32", at::kFloat},
    {"float64", at::kDouble}, {"bool", at::kBool}};

template <class Name, class Value, size_t N>
std::string name_of(const std::pair<Name, Value> (&table)[N], Value value) {
  for (const auto& [name, known] : table) {
    if (known == value) return std::string(name);
  }
  throw ContractError("no name for an enum value");
}

template <class Name, class Value, size_t N>
Value value_of(const std::pair<Name, Value> (&table)[N], const std::string& text, const std::string& place) {
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

/// \throws UserError at `place` when the options do not fit together.
template <class Options>
Options resolved_at(Options options, const std::string& place) {
  try {
    return models::resolved(std::move(options));
  } catch (const UserError& error) {
    throw UserError({place, error.problems().front().text(), ""});
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
          {"stages", options.stages},
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
    o.stages = source.value("stages", o.stages);
    source.at("drop_path").get_to(o.drop_path);
    source.at("layer_scale_init").get_to(o.layer_scale_init);
    source.at("deploy").get_to(o.deploy);
    return o;
  });
  return resolved_at(std::move(options), place);
}

namespace {

constexpr const char* kSeriesForecaster = "series_forecaster";
constexpr const char* kGlobalForecaster = "global_forecaster";

json network_json(const models::UniRepLKNetOptions& options) { return to_json(options); }

/// What both kinds of forecasters say of themselves.
template <class Options>
json forecaster_json(const char* kind, const Options& options) {
  return {{"kind", kind},
          {"backbone", to_json(options.backbone)},
          {"channels", options.channels},
          {"length", options.length},
          {"horizon", options.horizon},
          {"marks", options.marks},
          {"width", options.width},
          {"rows", options.rows},
          {"dropout", options.dropout}};
}

json network_json(const models::SeriesForecasterOptions& options) {
  auto result = forecaster_json(kSeriesForecaster, options);
  result["group"] = options.group;
  result["window_norm"] = name_of(kWindowNorms, options.window_norm);
  result["affine"] = options.affine;
  result["least_std"] = options.least_std;
  result["shuffled"] = options.shuffled;
  result["seen"] = name_of(kSeen, options.seen);
  return result;
}

json network_json(const models::GlobalForecasterOptions& options) {
  auto result = forecaster_json(kGlobalForecaster, options);
  result["label"] = options.label;
  result["tree"] = options.tree;
  result["heads"] = options.heads;
  result["hidden"] = options.hidden;
  result["causal_dropout"] = options.causal_dropout;
  result["token_order"] = name_of(kTokenOrders, options.token_order);
  result["memory"] = name_of(kMemories, options.memory);
  return result;
}

template <class Options>
Options forecaster_from(const json& source, const std::string& place) {
  Options o;
  o.backbone = options_from_json(source.at("backbone"), place + ": backbone");
  source.at("channels").get_to(o.channels);
  source.at("length").get_to(o.length);
  source.at("horizon").get_to(o.horizon);
  source.at("marks").get_to(o.marks);
  source.at("width").get_to(o.width);
  source.at("rows").get_to(o.rows);
  source.at("dropout").get_to(o.dropout);
  return o;
}

models::NetworkOptions series_forecaster_from(const json& source, const std::string& place) {
  auto o = forecaster_from<models::SeriesForecasterOptions>(source, place);
  source.at("group").get_to(o.group);
  o.window_norm = value_of(kWindowNorms, source.at("window_norm"), place);
  source.at("affine").get_to(o.affine);
  source.at("least_std").get_to(o.least_std);
  o.shuffled = source.value("shuffled", o.shuffled);
  if (source.contains("seen")) o.seen = value_of(kSeen, source.at("seen"), place);
  return resolved_at(std::move(o), place);
}

models::NetworkOptions global_forecaster_from(const json& source, const std::string& place) {
  auto o = forecaster_from<models::GlobalForecasterOptions>(source, place);
  source.at("label").get_to(o.label);
  source.at("tree").get_to(o.tree);
  source.at("heads").get_to(o.heads);
  source.at("hidden").get_to(o.hidden);
  source.at("causal_dropout").get_to(o.causal_dropout);
  o.token_order = value_of(kTokenOrders, source.at("token_order"), place);
  o.memory = value_of(kMemories, source.at("memory"), place);
  return resolved_at(std::move(o), place);
}

}  // namespace

json to_json(const models::NetworkOptions& options) {
  return std::visit([](const auto& of_kind) { return network_json(of_kind); }, options);
}

models::NetworkOptions network_from_json(const json& source, const std::string& place) {
  if (!source.is_object() || !source.contains("kind")) return options_from_json(source, place);
  return guarded(place, [&]() -> models::NetworkOptions {
    const auto kind = source.at("kind").get<std::string>();
    if (kind == kSeriesForecaster) return series_forecaster_from(source, place);
    if (kind == kGlobalForecaster) return global_forecaster_from(source, place);
    throw UserError({place, format("unknown kind of network \"{}\"", kind), "Read it with a newer program."});
  });
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
  json result{{"fields", std::move(fields)}, {"classes", info.classes}};
  if (!info.series.empty()) result["series"] = info.series;
  return result;
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
    if (source.contains("series")) source.at("series").get_to(info.series);
    return info;
  });
}

}  // namespace unireplk::exporting
