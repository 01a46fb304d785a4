#include "unireplk/core/name_pattern.h"

#include "support/catch.h"

using unireplk::names;

TEST_CASE("name_pattern: a pattern names a part and all that lies in it") {
  const std::string name = "stages.0.1.norm.weight";
  for (const char* pattern : {"stages", "stages.0", "stages.0.1.norm", "stages.0.1.norm.weight", "stages.*.1", "st*",
                              "stages.[0-2]", "*.0.*.norm", "stages.0.1.norm.weigh?"}) {
    INFO(pattern);
    CHECK(names(pattern, name));
  }
  for (const char* pattern : {"", "stage", "stages.1", "norm", "*.norm", "stages.0.1.norm.weight.x", "stages.[1-2]",
                              "stages..", "stages.0.1.norm.w", "stages\\.0"}) {
    INFO(pattern);
    CHECK_FALSE(names(pattern, name));
  }
  CHECK_FALSE(names("stages.1", "stages.10.norm"));
  CHECK_FALSE(names("a", ""));
}
