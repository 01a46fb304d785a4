#pragma once

#include "unireplk/config/registry.h"
#include "unireplk/runner/plugin_stamp.h"

/// What a plugin says of itself: once, outside of namespaces, in one source of a shared library.
///
///   void add_names(unireplk::config::Registries& registries) {
///     registries.get<unireplk::data::SourceSignature>().add<StrokesConfig>("strokes", "Lines drawn by pen.",
///     make_strokes);
///   }
///   UNIREPLK_PLUGIN(add_names)
///
/// The program compares the stamp with its own before anything else of the library is used. `function` is called once;
/// what it throws is reported as a mistake of the plugin.
#define UNIREPLK_PLUGIN(function)                                                         \
  extern "C" __attribute__((visibility("default"))) const char* unireplk_plugin_stamp() { \
    return UNIREPLK_PLUGIN_STAMP;                                                         \
  }                                                                                       \
  extern "C" __attribute__((visibility("default"))) void unireplk_plugin_register(        \
      unireplk::config::Registries& registries) {                                         \
    function(registries);                                                                 \
  }
