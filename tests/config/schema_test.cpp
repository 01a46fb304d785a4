#include "unireplk/config/schema.h"

#include <nlohmann/json.hpp>

#include "config/sample_config.h"
#include "support/catch.h"

using namespace unireplk;
using nlohmann::json;

TEST_CASE("schema: types, ranges, defaults and help of fields") {
  const json schema = json::parse(config::schema<test::Sample>(test::registries()));
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  CHECK(schema["additionalProperties"] == false);
  const json& keys = schema["properties"];
  CHECK(keys["lr"] == json::parse(R"({"type": "number", "exclusiveMinimum": 0.0, "description": "Learning rate.",
                                      "default": 0.001})"));
  CHECK(keys["small"]["maximum"] == 255);
  CHECK(keys["precision"]["enum"] == json{"fp32", "bf16"});
  CHECK(keys["limit"]["anyOf"][0]["minimum"] == 1);
  CHECK(keys["limit"]["anyOf"][1]["type"] == "null");
  CHECK(keys["betas"]["minItems"] == 2);
  CHECK(keys["betas"]["items"]["exclusiveMaximum"] == 1);
  CHECK(keys["inner"]["properties"]["depth"]["default"] == 2);
  CHECK(keys["scales"]["additionalProperties"]["type"] == "number");
  CHECK(keys["root"]["minLength"] == 1);
  CHECK_FALSE(keys["root"].contains("default"));
  CHECK(schema["then"]["required"] == json{"root"});
}

TEST_CASE("schema: choices are definitions, so they may contain themselves") {
  const json schema = json::parse(config::schema<test::Sample>(test::registries()));
  const json& choice = schema["$defs"]["optimizer"];
  CHECK(choice["required"] == json{"name"});
  CHECK(choice["properties"]["name"]["enum"] == json{"sgd", "adamw"});
  CHECK(choice["allOf"][1]["then"]["$ref"] == "#/$defs/optimizer.adamw");
  const json& adamw = schema["$defs"]["optimizer.adamw"];
  CHECK(adamw["properties"]["name"]["const"] == "adamw");
  CHECK(adamw["additionalProperties"] == false);
  CHECK(adamw["properties"]["inner"]["anyOf"][0]["$ref"] == "#/$defs/optimizer");
  const json& usual = schema["properties"]["optimizer"]["anyOf"][0];
  CHECK(usual["else"]["$ref"] == "#/$defs/optimizer.sgd");
}

TEST_CASE("help: one line a key") {
  const std::string text = config::help<test::Sample>(test::registries());
  INFO(text);
  CHECK(text.find("inner.depth  Layers. (an integer >= 1; default 2)\n") != std::string::npos);
  CHECK(text.find("root         Folder of the data. (a text that is not empty; required)\n") != std::string::npos);
  CHECK(text.find("optimizer    How to step. (name: one of sgd, adamw; default sgd)\n") != std::string::npos);
}
