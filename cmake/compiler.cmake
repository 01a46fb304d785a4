# Compiler settings shared by every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")

find_program(UNIREPLK_CCACHE ccache)
if(UNIREPLK_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}/..;CCACHE_NOHASHDIR=1;${UNIREPLK_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
endif()
find_program(UNIREPLK_MOLD mold)
if(UNIREPLK_MOLD)
  # Without pages of their own mold 1.10 can begin the part that is made read-only, where LibTorch's headers bring a
  # thread_local of one byte, in the last bytes of a page that is not there; such a program does not start.
  add_link_options(-fuse-ld=mold -Wl,-z,separate-loadable-segments)
endif()

add_library(unireplk_flags INTERFACE)
target_compile_options(unireplk_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(UNIREPLK_WERROR)
  target_compile_options(unireplk_flags INTERFACE -Werror)
endif()
if(UNIREPLK_SANITIZE)
  target_compile_options(unireplk_flags INTERFACE -fsanitize=${UNIREPLK_SANITIZE} -fno-omit-frame-pointer -O1
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # GCC sees ghosts in instrumented code, in std::regex for one
  target_link_options(unireplk_flags INTERFACE -fsanitize=${UNIREPLK_SANITIZE})
endif()
