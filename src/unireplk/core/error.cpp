#include "unireplk/core/error.h"

namespace unireplk {
namespace {

std::string joined(const std::vector<Problem>& problems) {
  std::string text;
  for (const auto& problem : problems) {
    if (!text.empty()) text += '\n';
    text += problem.text();
  }
  return text;
}

}  // namespace

std::string Problem::text() const {
  std::string out = place.empty() ? message : place + ": " + message;
  if (!out.empty() && out.back() != '.' && out.back() != '?') out += '.';
  if (!cure.empty()) out += ' ' + cure;
  return out;
}

std::string place_of(const std::filesystem::path& file, int line, int column) {
  std::string out = file.string();
  if (line > 0) out += format(":{}", line);
  if (line > 0 && column > 0) out += format(":{}", column);
  return out;
}

UserError::UserError(Problem problem) : UserError(std::vector{std::move(problem)}) {}

UserError::UserError(std::vector<Problem> problems)
    : std::runtime_error(joined(problems)), problems_(std::move(problems)) {}

void throw_contract_error(const char* condition, const char* file, int line, const std::string& message) {
  throw ContractError(format("{} ({} failed at {}:{})", message, condition, file, line));
}

}  // namespace unireplk
