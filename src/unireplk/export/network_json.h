#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "unireplk/models/any_network.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::exporting {

nlohmann::json to_json(const models::UniRepLKNetOptions& options);

/// \param place  named in messages. \throws UserError on missing keys, other types, or options that do not
/// fit together.
models::UniRepLKNetOptions options_from_json(const nlohmann::json& json, const std::string& place);

/// A network of any kind: what a classifier has, or `kind` with its own numbers and a `backbone`.
nlohmann::json to_json(const models::NetworkOptions& options);
models::NetworkOptions network_from_json(const nlohmann::json& json, const std::string& place);

/// Fields and classes; constants travel as tensors.
nlohmann::json to_json(const DataInfo& info);
DataInfo data_info_from_json(const nlohmann::json& json, const std::string& place);

}  // namespace unireplk::exporting
