#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "unireplk/core/format.h"

namespace unireplk {

/// Exit codes of the program.
enum class ExitCode : int { kGood = 0, kInternal = 1, kUser = 2, kStopped = 75 };

/// One mistake of the user: where it is, what is wrong (expected and got), how to mend it.
struct Problem {
  std::string place;    ///< "file.yaml:14:9: train.lr", "photo.jpg", "--output"; may be empty
  std::string message;  ///< `expected a number > 0, got "x"`
  std::string cure;     ///< one sentence with a full stop, or empty

  std::string text() const;  ///< "place: message. cure"
};

/// The text of a place in a text file; line and column count from one, 0 leaves them out.
std::string place_of(const std::filesystem::path& file, int line = 0, int column = 0);

/// A mistake of the user (config, path, data, command line). Ends the program with ExitCode::kUser.
class UserError : public std::runtime_error {
 public:
  explicit UserError(Problem problem);
  explicit UserError(std::vector<Problem> problems);

  const std::vector<Problem>& problems() const { return problems_; }

 private:
  std::vector<Problem> problems_;
};

/// A broken contract between parts of the program. Ends it with ExitCode::kInternal.
class ContractError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void throw_contract_error(const char* condition, const char* file, int line, const std::string& message);

}  // namespace unireplk

/// Throw ContractError with a formatted message unless `condition` holds.
#define UNIREPLK_CHECK(condition, ...)                                                                   \
  do {                                                                                                   \
    if (!(condition)) [[unlikely]]                                                                       \
      ::unireplk::throw_contract_error(#condition, __FILE__, __LINE__, ::unireplk::format(__VA_ARGS__)); \
  } while (false)
