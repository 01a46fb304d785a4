#pragma once

// c10 defines CHECK too and would silently replace Catch2's: its header has to come first.
#if __has_include(<c10/util/Logging.h>)
#include <c10/util/Logging.h>
#endif
#include <catch2/catch.hpp>
