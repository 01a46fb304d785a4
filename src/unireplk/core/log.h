#pragma once

#include <string_view>

#include "unireplk/core/format.h"

namespace unireplk {

/// Levels of the program's log. It goes to stderr; stdout belongs to results.
enum class LogLevel { kDebug, kInfo, kWarning, kError };

void set_log_level(LogLevel level);
void write_log(LogLevel level, std::string_view message);

/// One line for a person. Nothing per sample; a warning names an action.
template <class... Args>
void log_info(fmt::format_string<Args...> text, Args&&... args) {
  write_log(LogLevel::kInfo, format(text, std::forward<Args>(args)...));
}

template <class... Args>
void log_warning(fmt::format_string<Args...> text, Args&&... args) {
  write_log(LogLevel::kWarning, format(text, std::forward<Args>(args)...));
}

template <class... Args>
void log_error(fmt::format_string<Args...> text, Args&&... args) {
  write_log(LogLevel::kError, format(text, std::forward<Args>(args)...));
}

}  // namespace unireplk
