#include "config/sample_config.h"
#include "fuzz/target.h"
#include "unireplk/core/error.h"

/// A file may have mistakes (UserError); that it breaks a contract of the program is a bug.
void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
  const config::Registries none;
  try {
    config::parse<Inner>(config::load_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "fuzz.yaml"),
                         none);
  } catch (const UserError&) {
    return;
  }
}
