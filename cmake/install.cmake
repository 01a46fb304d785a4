# cmake --install BUILD --prefix DIR [--component libtorch]: see docs/building.md.
include(GNUInstallDirs)

# The program looks for LibTorch beside itself first, laid out as in its wheel, then where the build found it.
set_target_properties(unireplk PROPERTIES
  INSTALL_RPATH "\$ORIGIN/../lib/torch/lib;\$ORIGIN/../lib/torch/../nvidia/cu13/lib"
  INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS unireplk COMPONENT program)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/unireplk" COMPONENT program)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/configs" DESTINATION "${CMAKE_INSTALL_DATADIR}/unireplk" COMPONENT program)

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
