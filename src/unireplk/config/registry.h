#pragma once

#include <string>
#include <vector>

namespace unireplk::config {

/// The products one `name:` key may choose from. A registry is an explicit list, filled in runner/builtins.cpp:
///
///   Registry<std::unique_ptr<Source>()> sources{"data source"};
///   sources.add<IdxConfig>("idx", "MNIST-style IDX files", [](const IdxConfig& c) { return make_idx_source(c); });
///
/// Signature is Product(Args...): `make` is called as make(const Config&, Args...) and returns Product.
/// add() throws ContractError when a name comes twice.
template <class Signature>
class Registry;

/// One registry for each signature; handed to the parser, so nothing is global.
class Registries;

/// A config field whose keys depend on its `name:`. Parsed against the registry of its signature; the keys beside
/// `name` are the fields of the chosen entry's config.
///
///   Choice<std::unique_ptr<Source>()> train;      // visit("train", self.train, "Training data.")
///   choice.name();  choice.make(args...);  choice.config<IdxConfig>();
template <class Signature>
class Choice;

}  // namespace unireplk::config
