#include "unireplk/export/network_json.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/formats/json_object.h"
#include "unireplk/models/describe.h"
#include "unireplk/models/network.h"

namespace unireplk::exporting {
namespace {

using formats::JsonObject;
using models::Mode;
using nlohmann::json;

constexpr const char* kCure = "The file is damaged, or another version of the program wrote it: write it anew.";

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

/// The value that the text under `key` names.
template <class Name, class Value, size_t N>
Value value_of(const std::pair<Name, Value> (&table)[N], const JsonObject& object, const std::string& key) {
  const auto text = object.get<std::string>(key);
  std::vector<std::string_view> names;
  for (const auto& [name, known] : table) {
    if (text == name) return known;
    names.push_back(name);
  }
  object.refuse_value(key, format("one of {}", fmt::join(names, ", ")));
}

/// \throws UserError at `place` when the options do not fit together.
template <class Options>
Options resolved_at(Options options, const std::string& place) {
  try {
    return models::resolved(std::move(options));
  } catch (const UserError& error) {
    throw UserError({place, error.problems().front().text(), kCure});
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
  const JsonObject object(source, place, kCure);
  models::UniRepLKNetOptions o;
  o.depths = object.get<models::PerStage>("depths");
  o.dims = object.get<models::PerStage>("dims");
  o.kernel_sizes = object.get<std::vector<std::vector<int64_t>>>("kernel_sizes");
  for (const auto& rule : object.objects("branches")) {
    o.branches.push_back({.kernel_size = rule.get<int64_t>("kernel_size"),
                          .stage = rule.find<int64_t>("stage"),
                          .branches = rule.get<std::vector<std::array<int64_t, 2>>>("branches")});
  }
  o.in_channels = object.get<int64_t>("in_channels");
  o.num_classes = object.get<int64_t>("num_classes");
  o.mode = value_of(kModes, object, "mode");
  o.stages = object.find<int64_t>("stages").value_or(o.stages);
  o.drop_path = object.get<double>("drop_path");
  o.layer_scale_init = object.get<double>("layer_scale_init");
  o.deploy = object.get<bool>("deploy");
  return resolved_at(std::move(o), place);
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
Options forecaster_from(const JsonObject& object, const std::string& place) {
  Options o;
  o.backbone = options_from_json(object.object("backbone").value(), place + ": backbone");
  o.channels = object.get<int64_t>("channels");
  o.length = object.get<int64_t>("length");
  o.horizon = object.get<int64_t>("horizon");
  o.marks = object.get<int64_t>("marks");
  o.width = object.get<int64_t>("width");
  o.rows = object.get<int64_t>("rows");
  o.dropout = object.get<double>("dropout");
  return o;
}

models::NetworkOptions series_forecaster_from(const JsonObject& object, const std::string& place) {
  auto o = forecaster_from<models::SeriesForecasterOptions>(object, place);
  o.group = object.get<int64_t>("group");
  o.window_norm = value_of(kWindowNorms, object, "window_norm");
  o.affine = object.get<bool>("affine");
  o.least_std = object.get<double>("least_std");
  o.shuffled = object.find<bool>("shuffled").value_or(o.shuffled);
  if (object.has("seen")) o.seen = value_of(kSeen, object, "seen");
  return resolved_at(std::move(o), place);
}

models::NetworkOptions global_forecaster_from(const JsonObject& object, const std::string& place) {
  auto o = forecaster_from<models::GlobalForecasterOptions>(object, place);
  o.label = object.get<int64_t>("label");
  o.tree = object.get<decltype(o.tree)>("tree");
  o.heads = object.get<int64_t>("heads");
  o.hidden = object.get<int64_t>("hidden");
  o.causal_dropout = object.get<double>("causal_dropout");
  o.token_order = value_of(kTokenOrders, object, "token_order");
  o.memory = value_of(kMemories, object, "memory");
  return resolved_at(std::move(o), place);
}

}  // namespace

json to_json(const models::NetworkOptions& options) {
  return std::visit([](const auto& of_kind) { return network_json(of_kind); }, options);
}

models::NetworkOptions network_from_json(const json& source, const std::string& place) {
  const JsonObject object(source, place, kCure);
  const auto kind = object.find<std::string>("kind");
  if (!kind) return options_from_json(source, place);
  if (*kind == kSeriesForecaster) return series_forecaster_from(object, place);
  if (*kind == kGlobalForecaster) return global_forecaster_from(object, place);
  throw UserError({place, format("unknown kind of network \"{}\"", *kind), "Read it with a newer program."});
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
  const JsonObject object(source, place, kCure);
  DataInfo info;
  for (const auto& field : object.objects("fields")) {
    info.fields.push_back({.name = field.get<std::string>("name"),
                           .dtype = value_of(kDtypes, field, "dtype"),
                           .shape = field.get<std::vector<int64_t>>("shape"),
                           .collate = value_of(kCollates, field, "collate"),
                           .meaning = field.get<std::string>("meaning")});
  }
  info.classes = object.get<std::vector<std::string>>("classes");
  info.series = object.find<std::vector<std::string>>("series").value_or(std::vector<std::string>{});
  return info;
}

}  // namespace unireplk::exporting
