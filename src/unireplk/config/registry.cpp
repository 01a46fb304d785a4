#include "unireplk/config/registry.h"

#include <algorithm>

namespace unireplk::config {

std::vector<std::string> RegistryBase::names() const {
  std::vector<std::string> out;
  for (const auto& entry : entries_) out.push_back(entry->name);
  return out;
}

std::shared_ptr<const Entry> RegistryBase::find(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e->name == name; });
  return found == entries_.end() ? nullptr : *found;
}

void RegistryBase::add_entry(std::shared_ptr<const Entry> entry) {
  UNIREPLK_CHECK(!find(entry->name), "{} \"{}\" is registered twice", kind_, entry->name);
  for (const auto& field : entry->config->fields(entry->config->make().get())) {
    UNIREPLK_CHECK(field.key != "name", "the config of {} \"{}\" has a field `name`", kind_, entry->name);
  }
  entries_.push_back(std::move(entry));
}

void Registries::insert(const std::type_info& signature, std::shared_ptr<RegistryBase> registry) {
  const std::string kind = registry->kind();
  const bool is_new = registries_.emplace(signature, std::move(registry)).second;
  UNIREPLK_CHECK(is_new, "two registries with the signature of \"{}\"", kind);
}

const std::shared_ptr<RegistryBase>& Registries::at(const std::type_info& signature) const {
  const auto found = registries_.find(signature);
  UNIREPLK_CHECK(found != registries_.end(), "no registry for {}", signature.name());
  return found->second;
}

void ChoiceBase::assign(std::shared_ptr<const Entry> entry, std::shared_ptr<void> config) {
  entry_ = std::move(entry);
  config_ = std::move(config);
}

void ChoiceBase::reset() {
  entry_.reset();
  config_.reset();
}

void ChoiceBase::check_not_empty() const { UNIREPLK_CHECK(entry_, "a choice that is empty or was not parsed"); }

void ChoiceBase::check_config(const std::type_info& type) const {
  check_not_empty();
  UNIREPLK_CHECK(*entry_->config_type == type, "the config of \"{}\" is a {}, not a {}", entry_->name,
                 entry_->config_type->name(), type.name());
}

}  // namespace unireplk::config
