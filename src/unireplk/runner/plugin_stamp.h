#pragma once

#include <torch/version.h>

#include <string_view>  // any standard header tells _GLIBCXX_USE_CXX11_ABI

#include "unireplk/runner/build_stamp.h"

/// All that has to be the same in a program and its plugins, for they call each other's C++: `key=value` entries.
#define UNIREPLK_PLUGIN_STAMP                                                                                      \
  "unireplk plugin stamp; version=" UNIREPLK_VERSION "; headers=" UNIREPLK_HEADERS "; compiler=" UNIREPLK_COMPILER \
  "; standard=" UNIREPLK_TEXT(__cplusplus) "; libtorch=" TORCH_VERSION "; cxx11_abi=" UNIREPLK_TEXT(               \
      _GLIBCXX_USE_CXX11_ABI) "; debug_containers=" UNIREPLK_DEBUG_CONTAINERS                                      \
                              "; address_sanitizer=" UNIREPLK_ADDRESS_SANITIZER

#define UNIREPLK_TEXT(macro) UNIREPLK_TEXT_OF(macro)
#define UNIREPLK_TEXT_OF(text) #text

#ifdef __clang__
#define UNIREPLK_COMPILER "clang++ " UNIREPLK_TEXT(__clang_major__)
#else
#define UNIREPLK_COMPILER "g++ " UNIREPLK_TEXT(__GNUC__)
#endif

#ifdef _GLIBCXX_DEBUG
#define UNIREPLK_DEBUG_CONTAINERS "on"
#else
#define UNIREPLK_DEBUG_CONTAINERS "off"
#endif

#ifdef __SANITIZE_ADDRESS__
#define UNIREPLK_ADDRESS_SANITIZER "on"
#else
#define UNIREPLK_ADDRESS_SANITIZER "off"
#endif

namespace unireplk::runner {

/// The stamp of this program.
std::string_view program_stamp();

/// How every stamp begins.
inline constexpr std::string_view kStampBegin = "unireplk plugin stamp; ";

}  // namespace unireplk::runner
