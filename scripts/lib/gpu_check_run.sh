#!/usr/bin/env bash
# Check and measure the collected CUDA build on this machine, which needs NVIDIA's driver and PyTorch.
#
#   ./run.sh [--tests] [--train] [--ops] [--bench] [--compile] [--sanitize] [--any-version]
#
#   --tests, --train, --ops, --bench, --compile   these parts only, in the order given; all five where none is
#   --sanitize                                    our kernels under compute-sanitizer, which has to be in PATH: minutes, and
#                                                 only when asked for
#   --any-version                                 go on with another version of PyTorch than the programs are built against
#
# LibTorch comes from LibTorch_ROOT if set, else from the PyTorch of python3, which is then measured too.
# Results: results/*.log, results/ops_*.json and results/bench.jsonl in this folder. Exits 0 when all tests passed and training worked.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

parts=() any_version=''
for argument in "$@"; do
  case $argument in
    --tests | --train | --ops | --bench | --compile | --sanitize) parts+=("${argument#--}") ;;
    --any-version) any_version=yes ;;
    *) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" && exit 2 ;;
  esac
done
((${#parts[@]} > 0)) || parts=(tests train ops bench compile)

say() { printf '== %s\n' "$*"; }
fail() {
  printf 'run.sh: %s\n' "$*" >&2
  exit 2
}

torch=${LibTorch_ROOT:-$(python3 -c \
  'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")')}
[[ -f $torch/lib/libtorch_cuda.so ]] ||
  fail "no LibTorch for CUDA: expected libtorch_cuda.so in ${torch:-the PyTorch of python3}/lib. Set LibTorch_ROOT"

minor() { cut -d. -f1,2 <<<"$1"; }

check_version() {
  local expected found
  expected=$(cat libtorch_version)
  found=$(sed -n "s/^__version__ = '\(.*\)'$/\1/p" "$torch/version.py" 2>/dev/null || cat "$torch/build-version")
  say "LibTorch ${found:-of no known version} in $torch; the programs are built against $expected"
  if [[ $(minor "$found") != $(minor "$expected") && -z $any_version ]]; then
    fail "expected LibTorch $expected, found ${found:-no version}: their binary interfaces differ.
Install that version, set LibTorch_ROOT to one, or try it all the same with --any-version"
  fi
}

[[ -d bin ]] || tar -xzf programs.tar.gz || fail "programs.tar.gz cannot be unpacked"
export LD_LIBRARY_PATH="$PWD/lib:$torch/lib:$torch/../nvidia/cu13/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
mkdir -p results
failures=0

# logged NAME COMMAND...: its output goes to results/NAME.log, its end to the screen.
logged() {
  local name=$1
  shift
  if "$@" >"results/$name.log" 2>&1; then
    say "$name: good. $(grep -v '^ *$' "results/$name.log" | tail -1)"
  else
    failures=$((failures + 1))
    say "$name: FAILED"
    tail -25 "results/$name.log"
  fi
}

run_tests() {
  local program
  for program in bin/test_*; do
    logged "${program##*/}" "$program" '[cuda]'
  done
}

# Test cases that are small enough for it have the tag [sanitize]. None calls squeeze_excite or linear_gelu_grn on maps of
# 16 bits: on an H200 racecheck ended there with an internal error of its own, most likely in cuBLAS' products, though only
# our kernels are looked at, and what ran next was told of illegal accesses; memcheck found nothing. The passes of these
# operators have a case that calls nothing else.
run_sanitize() {
  local tool
  command -v compute-sanitizer >/dev/null || fail "--sanitize: no compute-sanitizer in PATH, a part of NVIDIA's CUDA toolkit"
  for tool in memcheck racecheck; do
    logged "$tool" timeout 260 compute-sanitizer --tool "$tool" --kernel-name kernel_substring=unireplk --error-exitcode 9 \
      bin/test_ops --warn NoTests '[sanitize]'
  done
}

run_train() {
  rm -rf results/fashion_a results/fashion_a_graphs results/fashion_a_profile results/plan
  logged train bin/unireplk train configs/image/fashion_a.yaml device=cuda output=results
  logged train_graphs bin/unireplk train configs/image/fashion_a.yaml device=cuda output=results name=fashion_a_graphs \
    train.cuda_graphs=true
  if ! grep -q 'recorded the step' results/train_graphs.log || grep -q 'train.cuda_graphs:' results/train_graphs.log; then
    failures=$((failures + 1))
    say "train_graphs: FAILED: nothing was recorded, or recording was given up"
  fi
  logged train_graphs_profile bin/unireplk train configs/image/fashion_a.yaml device=cuda output=results name=fashion_a_profile \
    train.cuda_graphs=true train.epochs=1 train.schedule.warmup_epochs=0 train.max_steps=16 train.profile.steps=2
  logged plan_graphs bin/unireplk plan configs/image/fashion_a.yaml --single device=cuda output=results/plan train.cuda_graphs=true
  if ! grep -q 'recorded the step' results/plan_graphs.log; then
    failures=$((failures + 1))
    say "plan_graphs: FAILED: what was timed was not recorded"
  fi
  logged eval bin/unireplk eval results/fashion_a
  logged export bin/unireplk export results/fashion_a --output results/fashion_a.safetensors
  logged predict bin/unireplk predict results/fashion_a.safetensors examples/data/fashion/ankle_boot.png
}

# measured WHO CASE COMMAND...: one line of JSON. Where PyTorch cannot run there is nothing to compare with; no failure.
measured() {
  local who=$1 case=$2 line
  shift 2
  if line=$("$@" 2>results/bench_error.log | tail -1) && [[ $line == \{* ]]; then
    printf '{"who": "%s", "case": "%s", "result": %s}\n' "$who" "$case" "$line" >>results/bench.jsonl
  elif [[ $who == pytorch* ]]; then
    say "bench: $who, $case was not measured: $(tail -1 results/bench_error.log)"
  else
    failures=$((failures + 1))
    say "bench: FAILED: $*"
    tail -5 results/bench_error.log
  fi
}

run_ops() {
  local precision file
  for precision in bf16 fp32; do
    file=results/ops_$precision.json
    logged "ops_$precision" bash -c "bin/unireplk bench ops --device cuda --variant t --batch 128 --precision $precision \
      --iters 5 --warmup 1 >$file"
    if [[ -s $file ]]; then python3 table.py --ops "$file"; fi
  done
}

run_bench() {
  local kind their_kind variant batch precision case options amp
  local ours=(bin/unireplk bench) reference=(python3 tools/reference/bench.py)
  rm -f results/bench.jsonl
  while read -r kind variant batch precision; do
    their_kind=${kind/inference/deploy}
    case="$kind $variant, batch $batch, $precision"
    options=(--device cuda --variant "$variant" --batch "$batch" --size 224 --iters 20 --warmup 5)
    amp=(--amp "${precision/fp32/none}" --channels-last)
    measured unireplk "$case" "${ours[@]}" "$kind" "${options[@]}" --precision "$precision"
    measured pytorch "$case" "${reference[@]}" "$their_kind" "${options[@]}" "${amp[@]}"
    if [[ $kind == train-step ]]; then
      measured "unireplk graphs" "$case" "${ours[@]}" "$kind" "${options[@]}" --precision "$precision" --cuda-graphs
    fi
  done <<<"train-step t 128 bf16
train-step s 128 bf16
train-step t 64 fp32
inference t 128 bf16
inference t 1 bf16"
  case="branches t, batch 128, bf16"
  options=(branches --device cuda --variant t --batch 128 --size 224 --iters 20 --warmup 5 --precision bf16)
  measured unireplk "$case" "${ours[@]}" "${options[@]}"
  measured "unireplk graphs" "$case" "${ours[@]}" "${options[@]}" --cuda-graphs
  python3 table.py results/bench.jsonl
}

is_running() { kill -0 "$1" 2>/dev/null; }

# What a process of run_compile has said, as if it ran now.
compiled() {
  cat "results/compile_$1.log" >&2
  cat "results/compile_$1.json"
}

# PyTorch compiled takes minutes before its first step: a part of its own, which adds to what run_bench has measured. All
# variants compile at the same time and wait; each is measured when the one before has ended.
run_compile() {
  local variant seconds=400 variants=(t s)
  local -A process=()
  rm -f results/compile_*
  for variant in "${variants[@]}"; do
    timeout "$seconds" python3 tools/reference/bench.py train-step --device cuda --variant "$variant" --batch 128 --size 224 \
      --iters 10 --warmup 3 --amp bf16 --channels-last --compile --wait-for "results/compile_$variant.turn" \
      >"results/compile_$variant.json" 2>"results/compile_$variant.log" &
    process[$variant]=$!
  done
  for variant in "${variants[@]}"; do
    while is_running "${process[$variant]}" && ! grep -q '^bench: ready' "results/compile_$variant.log"; do sleep 1; done
  done
  for variant in "${variants[@]}"; do
    touch "results/compile_$variant.turn"
    wait "${process[$variant]}" || say "compile: PyTorch's $variant ended with $? (124: not within $seconds s)"
    measured "pytorch compiled" "train-step $variant, batch 128, bf16" compiled "$variant"
  done
  if [[ -s results/bench.jsonl ]]; then python3 table.py results/bench.jsonl; fi
}

check_version
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
bin/unireplk --version || fail "the program does not start. What it lacks: $(ldd bin/unireplk | grep 'not found')"
for part in "${parts[@]}"; do
  say "$part"
  "run_$part"
done
say "$failures failures"
((failures == 0))
