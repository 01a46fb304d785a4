#pragma once

#include <cstdio>
// libjpeg's header takes FILE and size_t for granted
#include <jpeglib.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace unireplk::test {

/// How a JPEG file of a test is made; errors of the library end the program.
struct JpegKind {
  int width = 0;
  int height = 0;
  J_COLOR_SPACE samples = JCS_RGB;
  J_COLOR_SPACE colors = JCS_YCbCr;
  int across = 1;  ///< samples of brightness for one of colour, along a row
  int down = 1;
  bool is_progressive = false;
  bool is_in_scans = false;  ///< one for each component
  unsigned restart_interval = 0;
  int quality = 90;
};

inline std::string jpeg_file(const std::vector<uint8_t>& samples, const JpegKind& kind) {
  jpeg_compress_struct state{};
  jpeg_error_mgr errors{};
  state.err = jpeg_std_error(&errors);
  jpeg_create_compress(&state);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&state, &out, &size);
  state.image_width = static_cast<JDIMENSION>(kind.width);
  state.image_height = static_cast<JDIMENSION>(kind.height);
  state.in_color_space = kind.samples;
  state.input_components = kind.samples == JCS_GRAYSCALE ? 1 : kind.samples == JCS_CMYK ? 4 : 3;
  jpeg_set_defaults(&state);
  jpeg_set_colorspace(&state, kind.colors);
  jpeg_set_quality(&state, kind.quality, TRUE);
  state.comp_info[0].h_samp_factor = kind.across;
  state.comp_info[0].v_samp_factor = kind.down;
  if (kind.colors == JCS_YCCK) {
    state.comp_info[3].h_samp_factor = kind.across;
    state.comp_info[3].v_samp_factor = kind.down;
  }
  state.restart_interval = kind.restart_interval;
  std::vector<jpeg_scan_info> scans;
  for (int i = 0; i < state.num_components; ++i) {
    scans.push_back({.comps_in_scan = 1, .component_index = {i}, .Ss = 0, .Se = 63, .Ah = 0, .Al = 0});
  }
  if (kind.is_in_scans) {
    state.scan_info = scans.data();
    state.num_scans = static_cast<int>(scans.size());
  }
  if (kind.is_progressive) jpeg_simple_progression(&state);
  jpeg_start_compress(&state, TRUE);
  while (state.next_scanline < state.image_height) {
    const size_t row = static_cast<size_t>(kind.width * state.input_components);
    auto* from = const_cast<uint8_t*>(samples.data()) + row * state.next_scanline;
    jpeg_write_scanlines(&state, &from, 1);
  }
  jpeg_finish_compress(&state);
  const std::string file(reinterpret_cast<char*>(out), size);
  jpeg_destroy_compress(&state);
  std::free(out);
  return file;
}

}  // namespace unireplk::test
