#!/usr/bin/env bash
# Install what building needs and is missing: Debian packages, and LibTorch as Python wheels in the folder .deps.
#
#   scripts/setup.sh [--cpu | --cuda] [--test] [--developer]
#
#   --cpu, --cuda   which LibTorch; without either: CUDA when this machine has an NVIDIA GPU
#   --test          also what building the tests needs
#   --developer     also formatter, linter, fuzzer, compiler cache and faster linker
#
# Needs root, or sudo, for Debian packages only; says what to ask an administrator for when there is neither.
# Set LibTorch_ROOT to use a LibTorch that is there already. Run it as often as you like: what is there stays.

# shellcheck source-path=SCRIPTDIR source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

mode='' package_lists=(deps/apt.txt)
for argument in "$@"; do
  case $argument in
    --cpu | --cuda) mode=${argument#--} ;;
    --test) package_lists+=(deps/apt-test.txt) ;;
    --developer) package_lists+=(deps/apt-test.txt deps/apt-developer.txt) ;;
    -h | --help) usage && exit 0 ;;
    *) fail "unknown argument $argument. See scripts/setup.sh --help" ;;
  esac
done
mode=${mode:-$(detect_mode)}

missing_packages() {
  local package
  declare -A installed
  while read -r package; do installed[$package]=1; done < <(
    dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | sed -n 's/^.i  *//p')
  while read -r package; do
    [[ -n ${installed[$package]:-} ]] || echo "$package"
  done < <(cat "${package_lists[@]}")
}

install_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    say "packages: this is no Debian; the counterparts of these have to be there: $(cat "${package_lists[@]}" | xargs)"
    return
  fi
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    say "packages: all there"
    return
  fi
  local install="apt-get install -y --no-install-recommends ${missing[*]}" as_root=()
  if ((EUID != 0)); then
    if ! sudo -n true 2>/dev/null && ! { [[ -t 0 ]] && command -v sudo >/dev/null; }; then
      fail "packages are missing and this user may not install them. Ask an administrator to run:
  apt-get update && $install"
    fi
    as_root=(sudo)
  fi
  say "packages: installing ${missing[*]}"
  "${as_root[@]}" apt-get -qq update
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 ${install#apt-get } >/dev/null
}

# A Python that LibTorch's wheels exist for and that can make virtual environments.
find_python() {
  local python
  for python in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' \
      2>/dev/null; then
      echo "$python"
      return
    fi
  done
  fail "no Python 3.10 to 3.14 with its venv module found. Install python3 and python3-venv"
}

# good, missing or broken, see wheels.py; broken also when .deps is no working environment.
wheels_state() { .deps/bin/python scripts/lib/wheels.py "$@" 2>/dev/null || echo broken; }

install_wheels() {
  local lists=("deps/libtorch-$mode.txt") state toolkit
  if [[ $mode == cuda ]]; then lists+=(deps/nvcc.txt); fi
  state=$(wheels_state "${lists[@]}")
  if [[ $state == good ]]; then
    say "LibTorch ($mode): all there, in .deps"
  else
    if [[ $state == broken ]]; then
      say "LibTorch ($mode): making the environment .deps"
      "$(find_python)" -m venv --clear .deps
    fi
    say "LibTorch ($mode): downloading about $([[ $mode == cuda ]] && echo 2.3 || echo 0.6) GB into .deps"
    .deps/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile --no-deps \
      "${lists[@]/#/--requirement=}"
    state=$(wheels_state "${lists[@]}")
    if [[ $state != good ]]; then
      fail "LibTorch is $state after the installation. Remove the folder .deps and run this again"
    fi
  fi
  for toolkit in .deps/lib/python3*/site-packages/nvidia/cu13; do # nvcc looks for lib64, the wheels have lib
    [[ -e $toolkit/lib64 ]] || ln -sfn lib "$toolkit/lib64"
  done
}

check_given_libtorch() {
  local library=libtorch_cpu.so
  if [[ $mode == cuda ]]; then library=libtorch_cuda.so; fi
  if [[ ! -f $LibTorch_ROOT/include/ATen/ATen.h || ! -f $LibTorch_ROOT/lib/$library ]]; then
    fail "LibTorch_ROOT=$LibTorch_ROOT: expected include/ATen/ATen.h and lib/$library there. Unset it to have LibTorch installed"
  fi
  say "LibTorch ($mode): $LibTorch_ROOT, as LibTorch_ROOT says"
}

install_packages
if [[ -n ${LibTorch_ROOT:-} ]]; then check_given_libtorch; else install_wheels; fi
