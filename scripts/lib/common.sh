# shellcheck shell=bash
# Shared by the scripts of this folder. Source it first: it moves to the root of the project.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

# A step as people see it.
say() { printf '== %s\n' "$*" >&2; }

# A user's mistake: what, and the cure.
fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# A command as it could be pasted.
announce() {
  local word line='+'
  for word in "$@"; do
    if [[ $word =~ ^[A-Za-z0-9_@%+=:,./-]+$ ]]; then line+=" $word"; else line+=" ${word@Q}"; fi
  done
  printf '%s\n' "$line" >&2
}

# Announce a command and run it.
show() {
  announce "$@"
  "$@"
}

# The comment block at the top of the calling script is its help.
usage() {
  sed -n "2,/^\$/s/^# \{0,1\}//p" "$root/scripts/${0##*/}"
}

has_gpu() { nvidia-smi -L 2>/dev/null | grep -q '^GPU '; }

# cpu or cuda: what this machine can use.
detect_mode() { if has_gpu; then echo cuda; else echo cpu; fi; }

# Compilers at once: one for each core, and no more than memory allows (2 GiB each).
build_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ {print int($2 / 2097152)}' /proc/meminfo)
  if ((memory < 1)); then memory=1; fi
  echo $((cores < memory ? cores : memory))
}

# configure PRESET [cmake arguments...]: stays quiet unless something is wrong.
configure() {
  local log
  log=$(mktemp)
  announce cmake --preset "$@"
  if ! cmake --preset "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    exit 1
  fi
  rm -f "$log"
}

# build PRESET [targets...]
build() {
  local preset=$1
  shift
  show cmake --build --preset "$preset" --parallel "$(build_jobs)" ${1:+--target "$@"}
}
