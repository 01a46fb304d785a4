#!/usr/bin/env bash
# Install what is missing, build everything and run the tests.
#
#   scripts/test.sh [--cpu | --cuda] [--preset NAME] [--slow] [ctest arguments...]
#
#   --cpu, --cuda   which build; without either: CUDA when this machine has an NVIDIA GPU
#   --preset NAME   another build of CMakePresets.json: dev, ci, asan
#   --slow          also the tests labelled slow
#
# Other arguments go to ctest: `scripts/test.sh -R config` runs the tests of one layer, `-L golden` those of one label.
# Tests that need more data than the repository holds read the folder UNIREPLK_TEST_DATA, by default ../shared/data
# where that is there; without it they say so and are skipped.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

mode='' preset='' labels=(-LE '^(slow|bench)$') ctest_arguments=()
while (($# > 0)); do
  case $1 in
    --cpu | --cuda) mode=${1#--} ;;
    --preset) preset=${2:?--preset needs a name} && shift ;;
    --slow) labels=(-LE '^bench$') ;;
    -h | --help) usage && exit 0 ;;
    *) ctest_arguments+=("$1") ;;
  esac
  shift
done
if [[ -z $mode ]]; then
  case $preset in
    '') mode=$(detect_mode) ;;
    cuda) mode=cuda ;;
    *) mode=cpu ;;
  esac
fi
if [[ -z $preset ]]; then preset=$([[ $mode == cuda ]] && echo cuda || echo release); fi

if [[ -z ${UNIREPLK_TEST_DATA:-} && -d ../shared/data ]]; then
  UNIREPLK_TEST_DATA=$(cd ../shared/data && pwd)
  export UNIREPLK_TEST_DATA
fi

scripts/setup.sh "--$mode" --test
configure "$preset"
build "$preset"
export OMP_NUM_THREADS=1 # two test programs run at a time
show ctest --test-dir "build/$preset" --parallel 2 --output-on-failure --no-tests=error \
  "${labels[@]}" "${ctest_arguments[@]}"
