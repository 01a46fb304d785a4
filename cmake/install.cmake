# cmake --install BUILD --prefix DIR [--component libtorch]: see docs/building.md.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# The program looks for LibTorch beside itself first, laid out as in its wheel, then where the build found it (which CMake
# would leave out itself, as .deps is in the project).
set_target_properties(unireplk PROPERTIES INSTALL_RPATH
  "\$ORIGIN/../lib/torch/lib;\$ORIGIN/../lib/torch/../nvidia/cu13/lib;${LibTorch_PREFIX}/lib;${LibTorch_NVIDIA_DIR}/cu13/lib")
install(TARGETS unireplk EXPORT unireplkTargets COMPONENT program)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/unireplk" COMPONENT program)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/configs" DESTINATION "${CMAKE_INSTALL_DATADIR}/unireplk" COMPONENT program)

# find_package(unireplk), for plugins.
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/unireplk")
install(EXPORT unireplkTargets NAMESPACE unireplk:: DESTINATION "${package}" COMPONENT development)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/unireplkConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/generated/unireplkConfig.cmake" INSTALL_DESTINATION "${package}"
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/unireplkConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/unireplkConfig.cmake"
  "${PROJECT_BINARY_DIR}/generated/unireplkConfigVersion.cmake" "${PROJECT_SOURCE_DIR}/cmake/FindLibTorch.cmake"
  DESTINATION "${package}" COMPONENT development)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/src/unireplk" "${PROJECT_BINARY_DIR}/generated/unireplk"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development FILES_MATCHING PATTERN "*.h")

# The libraries that a CPU build loads from LibTorch and NVIDIA's wheels. Those of a CUDA build are gigabytes: link them.
if(NOT UNIREPLK_CUDA)
  foreach(name libc10.so libtorch_cpu.so libgomp.so.1)
    install(FILES "${LibTorch_PREFIX}/lib/${name}" DESTINATION lib/torch/lib
      COMPONENT libtorch EXCLUDE_FROM_ALL OPTIONAL)
  endforeach()
  foreach(name libcudart.so.13 libcupti.so.13)
    install(FILES "${LibTorch_NVIDIA_DIR}/cu13/lib/${name}" DESTINATION lib/nvidia/cu13/lib
      COMPONENT libtorch EXCLUDE_FROM_ALL OPTIONAL)
  endforeach()
endif()
