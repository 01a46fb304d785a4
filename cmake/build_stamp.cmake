# cmake -DSOURCE=src -DVERSION=0.1.0 -DOUTPUT=build_stamp.h -P build_stamp.cmake: what tells one build of the project from another.
# A plugin compiled with other headers must not be loaded, whatever the version says, so they are part of it.
file(GLOB_RECURSE headers RELATIVE "${SOURCE}" "${SOURCE}/unireplk/*.h")
list(SORT headers)
set(all "")
foreach(header IN LISTS headers)
  file(SHA256 "${SOURCE}/${header}" digest)
  string(APPEND all "${header} ${digest}\n")
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING "${digest}" 0 16 digest)
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT [[
#pragma once

#define UNIREPLK_VERSION "@VERSION@"
#define UNIREPLK_HEADERS "@digest@"  // a digest of all headers
]])
