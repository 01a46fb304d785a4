#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "unireplk/config/type_of.h"
#include "unireplk/core/error.h"

namespace unireplk::config {

/// A config without keys.
struct Empty {
  static void fields(auto&, auto&&) {}
};

/// What a registry knows of one product, whatever its signature is.
struct Entry {
  std::string name;
  std::string help;
  const StructType* config = nullptr;
  const std::type_info* config_type = nullptr;
};

/// The part of a registry that does not depend on its signature.
class RegistryBase {
 public:
  const std::string& kind() const { return kind_; }  ///< "data source"
  std::vector<std::shared_ptr<const Entry>> const& entries() const { return entries_; }
  std::vector<std::string> names() const;

  /// nullptr when there is none of that name.
  std::shared_ptr<const Entry> find(std::string_view name) const;

 protected:
  explicit RegistryBase(std::string kind) : kind_(std::move(kind)) {}

  void add_entry(std::shared_ptr<const Entry> entry);

 private:
  std::string kind_;
  std::vector<std::shared_ptr<const Entry>> entries_;
};

template <class Signature>
class Registry;

/// The products one `name:` key may choose from. A registry is an explicit list, filled in
/// runner/builtins.cpp:
///
///   Registry<std::unique_ptr<Source>()> sources{"data source"};
///   sources.add<IdxConfig>("idx", "MNIST-style IDX files", [](const IdxConfig& c) { return
///   make_idx_source(c); });
///
/// `make` is called as make(const Config&, Args...) and returns Product.
template <class Product, class... Args>
class Registry<Product(Args...)> : public RegistryBase {
 public:
  struct Maker : Entry {
    std::function<Product(const void* config, Args... args)> make;
  };

  /// \param kind  the noun of messages: "data source".
  explicit Registry(std::string kind) : RegistryBase(std::move(kind)) {}

  /// \throws ContractError when a name comes twice or Config has a field `name`.
  template <HasFields Config, class Make>
  requires std::is_invocable_r_v<Product, const Make&, const Config&, Args...> Registry& add(std::string name,
                                                                                             std::string help,
                                                                                             Make make) {
    auto maker = std::make_shared<Maker>();
    maker->name = std::move(name);
    maker->help = std::move(help);
    maker->config = &std::get<StructType>(type_of<Config>().is);
    maker->config_type = &typeid(Config);
    maker->make = [make = std::move(make)](const void* config, Args... args) -> Product {
      return std::invoke(make, *static_cast<const Config*>(config), std::forward<Args>(args)...);
    };
    add_entry(std::move(maker));
    return *this;
  }
};

/// One registry for each signature; handed to the parser, so nothing is global. Registries are added once,
/// then read.
class Registries {
 public:
  /// \throws ContractError when there is one of this signature.
  template <class Signature>
  Registry<Signature>& add(Registry<Signature> registry) {
    auto owned = std::make_shared<Registry<Signature>>(std::move(registry));
    auto& result = *owned;
    insert(typeid(Signature), std::move(owned));
    return result;
  }

  /// \throws ContractError when there is none of this signature.
  template <class Signature>
  Registry<Signature>& get() {
    return static_cast<Registry<Signature>&>(*at(typeid(Signature)));
  }
  template <class Signature>
  const Registry<Signature>& get() const {
    return static_cast<const Registry<Signature>&>(*at(typeid(Signature)));
  }

  const RegistryBase& get(const std::type_info& signature) const { return *at(signature); }

 private:
  void insert(const std::type_info& signature, std::shared_ptr<RegistryBase> registry);
  const std::shared_ptr<RegistryBase>& at(const std::type_info& signature) const;

  std::map<std::type_index, std::shared_ptr<RegistryBase>> registries_;
};

/// The part of a choice that does not depend on its signature. The config is shared between copies and never
/// changes after parsing.
class ChoiceBase {
 public:
  bool empty() const { return !entry_; }

  /// The chosen name; of a choice with a default that has not been parsed, the default. Empty when nothing is
  /// chosen.
  const std::string& name() const { return entry_ ? entry_->name : default_name_; }

  /// The fields given beside `name`.
  /// \throws ContractError when empty, or when T is not the config of the chosen entry.
  template <HasFields T>
  const T& config() const {
    check_config(typeid(T));
    return *static_cast<const T*>(config_.get());
  }

  /// The same where it may be another one's config; null then, and when empty.
  template <HasFields T>
  const T* config_if() const {
    return entry_ && *entry_->config_type == typeid(T) ? static_cast<const T*>(config_.get()) : nullptr;
  }

  const Entry* entry() const { return entry_.get(); }
  const void* raw_config() const { return config_.get(); }
  const std::string& default_name() const { return default_name_; }
  void assign(std::shared_ptr<const Entry> entry, std::shared_ptr<void> config);
  void reset();

 protected:
  ChoiceBase() = default;
  explicit ChoiceBase(std::string default_name) : default_name_(std::move(default_name)) {}

  void check_config(const std::type_info& type) const;
  void check_not_empty() const;

  std::shared_ptr<const Entry> entry_;
  std::shared_ptr<void> config_;
  std::string default_name_;
};

/// A config field whose keys depend on its `name:`. Parsed against the registry of its signature; the keys
/// beside `name` are the fields of the chosen entry's config. Independent of the registry's life once parsed.
///
///   Choice<std::unique_ptr<Source>()> train;      // visit("train", self.train, config::required, "Training
///   data.") choice.name();  choice.make(args...);  choice.config<IdxConfig>();
///
/// A choice that is left out stays empty(), unless it was built with a default name: Choice<...>
/// optimizer{"adamw"}.
template <class Product, class... Args>
class Choice<Product(Args...)> : public ChoiceBase {
 public:
  Choice() = default;
  explicit Choice(std::string default_name) : ChoiceBase(std::move(default_name)) {}

  /// A choice made in code.
  /// \throws ContractError when the registry has no such name or Config is not its config.
  template <HasFields Config>
  static Choice of(const Registry<Product(Args...)>& registry, std::string_view name, Config config) {
    Choice choice;
    choice.assign(registry.find(name), std::make_shared<Config>(std::move(config)));
    choice.check_config(typeid(Config));
    return choice;
  }

  /// \throws ContractError when empty.
  Product make(Args... args) const {
    check_not_empty();
    using Maker = typename Registry<Product(Args...)>::Maker;
    return static_cast<const Maker&>(*entry_).make(config_.get(), std::forward<Args>(args)...);
  }
};

}  // namespace unireplk::config
