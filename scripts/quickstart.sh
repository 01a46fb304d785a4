#!/usr/bin/env bash
# From a fresh machine to a trained, exported and proven network: install, build, train, evaluate, export, predict.
#
#   scripts/quickstart.sh [--cpu | --cuda] [--smoke] [--preset NAME]
#
#   --cpu, --cuda   where to train; without either: on the GPU when this machine has an NVIDIA one
#   --smoke         train for a few steps only: shows that every part works, not a good network
#   --preset NAME   use another build of CMakePresets.json
#
# It trains configs/image/fashion_a.yaml on the photos in examples/data/fashion, into runs/fashion_a. Interrupted, it goes
# on where it stopped when run again. When runs/fashion_a is finished, it trains anew into runs/fashion_a_2, and so on.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

mode='' preset='' name=fashion_a overrides=()
while (($# > 0)); do
  case $1 in
    --cpu | --cuda) mode=${1#--} ;;
    --smoke) name=fashion_a_smoke overrides=(train.epochs=1 train.schedule.warmup_epochs=0 train.max_steps=8) ;;
    --preset) preset=${2:?--preset needs a name} && shift ;;
    -h | --help) usage && exit 0 ;;
    *) fail "unknown argument $1. See scripts/quickstart.sh --help" ;;
  esac
  shift
done
mode=${mode:-$(detect_mode)}
if [[ -z $preset ]]; then preset=$([[ $mode == cuda ]] && echo cuda || echo release); fi
program=build/$preset/bin/unireplk
photo=examples/data/fashion/ankle_boot.png

# The first of NAME, NAME_2, NAME_3 ... that holds no finished run; the deploy file is what finishes one.
free_run() {
  local run=runs/$1 number=1
  while [[ -e $run/deploy.safetensors ]]; do
    number=$((number + 1))
    run=runs/$1_$number
  done
  echo "$run"
}

# Tests stay part of a build that has them, and are no part of a new one.
tests_wanted() {
  if grep -qs '^UNIREPLK_TESTS:BOOL=ON' "build/$preset/CMakeCache.txt" && [[ -e build/$preset/build.ninja ]]; then
    echo ON
  else
    echo OFF
  fi
}

started=$SECONDS
scripts/setup.sh "--$mode"

say "building the program"
configure "$preset" "-DUNIREPLK_TESTS=$(tests_wanted)"
build "$preset" unireplk

run=$(free_run "$name")
deploy=$run/deploy.safetensors
say "training"
show "$program" train configs/image/fashion_a.yaml "name=${run#runs/}" "${overrides[@]}" --resume
say "evaluating"
show "$program" eval "$run"
say "exporting: the branches of each block become one convolution, and both forms are compared"
show "$program" export "$run" --output "$deploy"
say "predicting a photo the network has not seen, from the deploy file alone"
show "$program" predict "$deploy" "$photo"

cat >&2 <<END
== done in $((SECONDS - started)) s
   program      $program
   run folder   $run (config.yaml, metrics.jsonl, checkpoints)
   deploy file  $deploy
Next: train on your own photos, one folder for each class:
   $program init --data FOLDER --output mine.yaml
   $program train mine.yaml
END
