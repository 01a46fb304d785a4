#include "unireplk/models/forecaster.h"

#include <cmath>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {

at::Tensor ForecasterImpl::forward(const ForecastInput& input, std::optional<at::Generator> generator) {
  UNIREPLK_CHECK(!is_training() || !draws() || generator, "a forecaster with dropout needs a generator in training");
  const auto drawn = is_training() ? std::move(generator) : std::nullopt;
  return forecast(
      input, [&](const at::Tensor& map) { return backbone->forward(map, drawn); }, drawn);
}

void check_window(const char* forecaster, const at::Tensor& window, int64_t length, int64_t channels) {
  UNIREPLK_CHECK(window.dim() == 3 && window.size(1) == length && window.size(2) == channels,
                 "{}: expected windows [B, {}, {}], got {}", forecaster, length, channels, ops::shape_text(window));
}

void initialise_value(const at::Tensor& weight, at::Generator& generator) {
  const auto fan_in = static_cast<double>(weight.size(1) * weight.size(2));
  weight.normal_(0, std::sqrt(2 / fan_in), generator);
}

}  // namespace unireplk::models
