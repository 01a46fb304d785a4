#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>

#include "support/temporary_folder.h"

namespace unireplk::test {

/// A Python that can import torch. Nothing, and a line that says why, when UNIREPLK_TEST_PYTHON does not name one.
inline std::optional<std::string> python_with_torch() {
  const char* python = std::getenv("UNIREPLK_TEST_PYTHON");
  if (python == nullptr || *python == '\0') {
    std::cerr << "SKIPPED: needs a Python that can import torch; set UNIREPLK_TEST_PYTHON to it\n";
    return std::nullopt;
  }
  return python;
}

/// Run a script to its end in the folder, from where `tools/reference` can be imported. True when it exits with 0.
inline bool run_python(const std::string& python, const TemporaryFolder& folder, const std::string& script) {
  std::ofstream(folder / "script.py") << "import sys\nsys.path.insert(0, '"
                                      << std::filesystem::absolute("tools/reference").string() << "')\n"
                                      << script;
  return std::system(("cd '" + folder.path().string() + "' && '" + python + "' -B script.py").c_str()) == 0;
}

}  // namespace unireplk::test
