#!/usr/bin/env bash
# Check and measure the CUDA build: tests labelled cuda, a training run, training steps beside PyTorch's.
#
#   scripts/gpu_check.sh            build, collect in build/gpu_check, and run that here (needs a GPU)
#   scripts/gpu_check.sh stage      build and collect only: build/gpu_check runs on another machine
#
# The other machine needs NVIDIA's driver and PyTorch of the version this is built against: run.sh in the folder takes
# LibTorch from its python3, or from LibTorch_ROOT. It needs no package of deps/apt.txt: their libraries are collected.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

run_here=yes
case ${1:-} in
  '') has_gpu || fail "no NVIDIA GPU here (nvidia-smi shows none). For another machine: scripts/gpu_check.sh stage" ;;
  stage) run_here='' ;;
  -h | --help) usage && exit 0 ;;
  *) fail "unknown argument $1. See scripts/gpu_check.sh --help" ;;
esac

stage=build/gpu_check
limit_mib=60
built=build/cuda/bin
# Every machine has these, and they have to be its own: the C and C++ run-time libraries, and the driver.
own_libraries='ld-linux-x86-64|libc|libm|libdl|librt|libpthread|libresolv|libutil|libstdc\+\+|libgcc_s|libcuda'

libtorch_folder() { sed -n 's/^LibTorch_INCLUDE_DIR:[A-Z]*=\(.*\)\/include$/\1/p' build/cuda/CMakeCache.txt; }

has_gpu_tests() { ! "$1" --list-tests '[cuda]' | grep -q '^0 matching'; }

collect_programs() {
  local program
  mkdir -p "$stage/bin"
  for program in "$built/unireplk" "$built"/test_*; do
    if [[ $program == */test_* ]] && ! has_gpu_tests "$program"; then continue; fi
    strip --strip-unneeded -o "$stage/bin/${program##*/}" "$program"
  done
}

# What the programs load, less the system's own libraries, LibTorch's and NVIDIA's.
collect_libraries() {
  local site library
  site=$(dirname "$(libtorch_folder)")
  mkdir -p "$stage/lib"
  while read -r library; do
    cp -L "$library" "$stage/lib/"
  done < <(ldd "$built/unireplk" "$built"/test_* | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p' | sort -u |
    grep -vF "$site/" | grep -vE "/($own_libraries)[.0-9-]*\.so")
  strip --strip-unneeded "$stage"/lib/*
}

# Programs of several megabytes each, kernels and all, become a third as large; run.sh unpacks them.
pack_programs() {
  tar -C "$stage" -czf "$stage/programs.tar.gz" bin lib
  rm -rf "${stage:?}/bin" "${stage:?}/lib"
}

# Files that tests, training and the reference open, under the names they open them by.
collect_data() {
  mkdir -p "$stage/examples/data" "$stage/tools" "$stage/tests"
  cp -r configs "$stage/"
  cp -r examples/data/fashion "$stage/examples/data/"
  cp -r tools/reference "$stage/tools/"
  if [[ -d tests/fixtures ]]; then cp -r tests/fixtures "$stage/tests/"; fi
  cp scripts/lib/gpu_check_run.sh "$stage/run.sh"
  cp scripts/lib/gpu_check_table.py "$stage/table.py"
  sed -n "s/^__version__ = '\(.*\)'$/\1/p" "$(libtorch_folder)/version.py" >"$stage/libtorch_version"
}

scripts/setup.sh --cuda --test
configure cuda
build cuda
say "collecting in $stage"
rm -rf "$stage"
collect_programs
collect_libraries
pack_programs
collect_data
size_mib=$(du -sm "$stage" | cut -f1)
if ((size_mib > limit_mib)); then
  fail "$stage holds $size_mib MiB, more than the $limit_mib that it may: see du -a $stage | sort -n"
fi
say "$stage: $size_mib MiB, for LibTorch $(cat "$stage/libtorch_version"). Copy it to the other machine, there: ./run.sh"
if [[ -n $run_here ]]; then
  # Without a PyTorch in the running python3, the LibTorch of the build serves, and there is nothing to compare with.
  python3 -c 'import torch' 2>/dev/null || LibTorch_ROOT=${LibTorch_ROOT:-$(libtorch_folder)}
  export LibTorch_ROOT
  exec "$stage/run.sh"
fi
