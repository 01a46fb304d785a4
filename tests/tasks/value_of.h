#pragma once

#include <string>
#include <vector>

#include "support/catch.h"
#include "unireplk/tasks/task.h"

namespace unireplk::test {

/// The value of a metric, which has to be there.
inline double value_of(const std::vector<tasks::Metric>& metrics, const std::string& name) {
  for (const auto& metric : metrics) {
    if (metric.name == name) return metric.value;
  }
  FAIL("no metric " << name);
  return 0;
}

}  // namespace unireplk::test
