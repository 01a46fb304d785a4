#!/usr/bin/env bash
# Search for files that crash a reader, with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   scripts/fuzz.sh [--seconds N] [--runs N] [TARGET...]
#
#   --seconds N, --runs N   how long to search with each target; the earlier ends it. Default: 600 and 1000000
#   TARGET                  what to search with: the names of tests/fuzz/*_fuzz.cpp; without any, all of them
#
# Begins with tests/fuzz/corpus/TARGET and what earlier searches have kept in build/fuzz/corpus/TARGET. Prints a line for
# each target. A target fails when it crashes (the input is then in build/fuzz/crashes) and when fewer than a fifth of its
# inputs got past the header. Needs clang 14: scripts/setup.sh --developer.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

seconds=600 runs=1000000 targets=()
while (($# > 0)); do
  case $1 in
    --seconds) seconds=${2:?--seconds needs a number} && shift ;;
    --runs) runs=${2:?--runs needs a number} && shift ;;
    -h | --help) usage && exit 0 ;;
    -*) fail "unknown argument $1. See scripts/fuzz.sh --help" ;;
    *) targets+=("$1") ;;
  esac
  shift
done
known=(tests/fuzz/*_fuzz.cpp)
known=("${known[@]##*/}")
known=("${known[@]%_fuzz.cpp}")
for target in "${targets[@]}"; do
  [[ " ${known[*]} " == *" $target "* ]] || fail "no target $target. Known: ${known[*]}"
done
if ((${#targets[@]} == 0)); then targets=("${known[@]}"); fi

configure fuzz
build fuzz "${targets[@]/#/fuzz_}"
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
mkdir -p build/fuzz/{crashes,logs}

# The number before the words $2 in the log $1.
number_before() { sed -n "s/.*[^0-9.]\([0-9.]\{1,\}\) $2.*/\1/p" "$1" | tail -n 1; }

status=0
printf '%-12s %10s %8s %16s\n' target inputs seconds 'past the header'
for target in "${targets[@]}"; do
  log=build/fuzz/logs/$target.log
  mkdir -p "build/fuzz/corpus/$target"
  started=$SECONDS verdict=''
  if ! "build/fuzz/bin/fuzz_$target" -max_total_time="$seconds" -runs="$runs" -max_len=8192 -timeout=60 \
    -artifact_prefix="build/fuzz/crashes/$target-" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" \
    >"$log" 2>&1; then
    verdict="crashed, see $log"
  fi
  inputs=$(number_before "$log" 'inputs') share=$(number_before "$log" '%')
  if [[ -z $verdict ]] && awk "BEGIN {exit !(${share:-0} < 20)}"; then verdict='too few get past the header'; fi
  printf '%-12s %10s %8s %14s %% %s\n' "$target" "${inputs:--}" $((SECONDS - started)) "${share:--}" "$verdict"
  if [[ -n $verdict ]]; then status=1; fi
done
exit $status
