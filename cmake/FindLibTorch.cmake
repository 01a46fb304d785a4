# find_package(LibTorch 2.11 REQUIRED COMPONENTS CPU [CUDA] [Gloo] [NCCL]) -> LibTorch::CPU, ::CUDA, ::Gloo, ::NCCL
file(GLOB _found "${PROJECT_SOURCE_DIR}/.deps/lib/python3*/site-packages/torch")
if(NOT _found)                                             # the running python's torch, located without importing it
  find_program(LibTorch_PYTHON NAMES python3)
  execute_process(COMMAND ${LibTorch_PYTHON} -c
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE _found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_path(LibTorch_INCLUDE_DIR ATen/ATen.h HINTS ${LibTorch_ROOT} $ENV{LibTorch_ROOT} PATHS ${_found} PATH_SUFFIXES include)
get_filename_component(LibTorch_PREFIX "${LibTorch_INCLUDE_DIR}" DIRECTORY)
get_filename_component(_site "${LibTorch_PREFIX}" DIRECTORY)
set(LibTorch_NVIDIA_DIR "${_site}/nvidia")                 # beside torch/ in a wheel; the zip has all in lib/
foreach(_name torch_cpu c10 torch_cuda c10_cuda)
  find_library(LibTorch_${_name}_LIBRARY ${_name} HINTS "${LibTorch_PREFIX}/lib" NO_DEFAULT_PATH)
  if(LibTorch_${_name}_LIBRARY AND NOT TARGET LibTorch::${_name})
    add_library(LibTorch::${_name} SHARED IMPORTED)
    set_target_properties(LibTorch::${_name} PROPERTIES
      IMPORTED_LOCATION "${LibTorch_${_name}_LIBRARY}" IMPORTED_SONAME lib${_name}.so)
  endif()
endforeach()
if(LibTorch_INCLUDE_DIR)
  file(STRINGS "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h" _lines
    REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" _numbers "${_lines}")
  list(JOIN _numbers "." LibTorch_VERSION)
endif()

if(TARGET LibTorch::torch_cpu AND NOT TARGET LibTorch::CPU)
  set(_include "${PROJECT_BINARY_DIR}/libtorch/include")   # only LibTorch's own four folders, see pitfall 1
  file(MAKE_DIRECTORY "${_include}")
  foreach(_folder ATen c10 caffe2 torch)
    file(CREATE_LINK "${LibTorch_INCLUDE_DIR}/${_folder}" "${_include}/${_folder}" SYMBOLIC)
  endforeach()
  add_library(LibTorch::CPU INTERFACE IMPORTED)
  target_include_directories(LibTorch::CPU SYSTEM INTERFACE "${_include}" "${_include}/torch/csrc/api/include")
  target_link_libraries(LibTorch::CPU INTERFACE LibTorch::torch_cpu LibTorch::c10)
  target_compile_features(LibTorch::CPU INTERFACE cxx_std_20)
  set(LibTorch_CPU_FOUND TRUE)
endif()
if("CUDA" IN_LIST LibTorch_FIND_COMPONENTS AND TARGET LibTorch::torch_cuda)
  set(_cuda "${LibTorch_NVIDIA_DIR}/cu13" ${CMAKE_CUDA_COMPILER_TOOLKIT_ROOT} $ENV{CUDA_HOME} /usr/local/cuda)
  find_path(LibTorch_CUDART_INCLUDE_DIR cuda_runtime_api.h HINTS ${_cuda} PATH_SUFFIXES include NO_DEFAULT_PATH)
  find_library(LibTorch_cudart_LIBRARY NAMES libcudart.so.13 cudart
    HINTS "${LibTorch_PREFIX}/lib" ${_cuda} PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
  if(LibTorch_CUDART_INCLUDE_DIR AND LibTorch_cudart_LIBRARY)
    if(NOT TARGET LibTorch::CUDA)
      add_library(LibTorch::cudart SHARED IMPORTED)
      set_target_properties(LibTorch::cudart PROPERTIES IMPORTED_LOCATION "${LibTorch_cudart_LIBRARY}")
      add_library(LibTorch::CUDA INTERFACE IMPORTED)
      target_include_directories(LibTorch::CUDA SYSTEM INTERFACE "${LibTorch_CUDART_INCLUDE_DIR}")
      target_compile_definitions(LibTorch::CUDA INTERFACE USE_CUDA)
      # No object of ours names a symbol of libtorch_cuda; its initialisers register every CUDA operator: keep it NEEDED.
      target_link_libraries(LibTorch::CUDA INTERFACE LibTorch::CPU LibTorch::c10_cuda LibTorch::cudart
        -Wl,--push-state,--no-as-needed LibTorch::torch_cuda -Wl,--pop-state)
    endif()
    set(LibTorch_CUDA_FOUND TRUE)
  endif()
endif()
foreach(_backend Gloo NCCL)                                # c10d: headers and definitions, the code is in libtorch
  string(TOUPPER ${_backend} _upper)
  string(TOLOWER ${_backend} _lower)
  set(_base CPU)
  set(_header gloo/context.h)
  if(_backend STREQUAL "NCCL")
    set(_base CUDA)
    set(_header nccl.h)
  endif()
  if(_backend IN_LIST LibTorch_FIND_COMPONENTS AND TARGET LibTorch::${_base})
    find_path(LibTorch_${_upper}_INCLUDE_DIR ${_header}
      HINTS "${LibTorch_NVIDIA_DIR}/${_lower}/include" /usr/local/cuda/include)
    if(LibTorch_${_upper}_INCLUDE_DIR)
      if(NOT TARGET LibTorch::${_backend})
        add_library(LibTorch::${_backend} INTERFACE IMPORTED)
        target_include_directories(LibTorch::${_backend} SYSTEM INTERFACE "${LibTorch_${_upper}_INCLUDE_DIR}")
        target_compile_definitions(LibTorch::${_backend} INTERFACE USE_DISTRIBUTED USE_C10D_${_upper})
        target_link_libraries(LibTorch::${_backend} INTERFACE LibTorch::${_base})
      endif()
      set(LibTorch_${_backend}_FOUND TRUE)
    endif()
  endif()
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_torch_cpu_LIBRARY LibTorch_c10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION HANDLE_COMPONENTS
  REASON_FAILURE_MESSAGE "run scripts/setup.sh or pass -DLibTorch_ROOT=<libtorch>")
