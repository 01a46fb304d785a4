#pragma once

#include <cstddef>
#include <cstdio>
// libjpeg's header takes FILE and size_t for granted
#include <jpeglib.h>

#include <csetjmp>

namespace unireplk::data::image {

/// A way out of libjpeg, whose own reaction to an error is to end the program: back to where `jump` was set, with the
/// reason kept.
struct JpegErrors {
  jpeg_error_mgr manager{};  ///< first, so that the library's pointer is one to this
  std::jmp_buf jump{};
  char reason[JMSG_LENGTH_MAX]{};

  /// What the library's `err` is to be.
  jpeg_error_mgr* start() {
    jpeg_std_error(&manager);
    manager.error_exit = leave;
    return &manager;
  }

  static JpegErrors& of(j_common_ptr state) { return *reinterpret_cast<JpegErrors*>(state->err); }

  [[noreturn]] static void leave(j_common_ptr state) {
    (*state->err->format_message)(state, of(state).reason);
    std::longjmp(of(state).jump, 1);
  }
};

}  // namespace unireplk::data::image
