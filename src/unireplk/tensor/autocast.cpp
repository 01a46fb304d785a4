#include "unireplk/tensor/autocast.h"

#include <ATen/autocast_mode.h>

namespace unireplk {
namespace {

void apply(const AutocastSettings& settings) {
  at::autocast::set_autocast_enabled(settings.device, settings.enabled);
  at::autocast::set_autocast_dtype(settings.device, settings.dtype);
  at::autocast::set_autocast_cache_enabled(settings.keeps_casts);
}

}  // namespace

AutocastSettings AutocastSettings::current(at::DeviceType device) {
  return {.device = device,
          .enabled = at::autocast::is_autocast_enabled(device),
          .dtype = at::autocast::get_autocast_dtype(device),
          .keeps_casts = at::autocast::is_autocast_cache_enabled()};
}

AutocastGuard::AutocastGuard(const AutocastSettings& wanted) : before_(AutocastSettings::current(wanted.device)) {
  at::autocast::increment_nesting();
  apply(wanted);
}

AutocastGuard::~AutocastGuard() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  apply(before_);
}

at::ScalarType autocast_type(const at::Tensor& map) {
  const auto settings = AutocastSettings::current(map.device().type());
  const bool casts = settings.enabled && map.is_floating_point() && map.scalar_type() != at::kDouble;
  return casts ? settings.dtype : map.scalar_type();
}

}  // namespace unireplk
