#include "unireplk/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <memory>

namespace unireplk {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> make_logger() {
  auto logger = std::make_shared<spdlog::logger>("unireplk", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  // On a terminal a progress bar may stand in the current line: overwrite it.
  const std::string clear_line = isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "";
  logger->set_pattern(clear_line + "%H:%M:%S %^%l%$ %v");
  logger->flush_on(spdlog::level::debug);
  return logger;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = make_logger();  // one log for the process
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(spdlog_level(level)); }

void write_log(LogLevel level, std::string_view message) { logger().log(spdlog_level(level), message); }

}  // namespace unireplk
