#!/usr/bin/env bash
# Check the layout of every C++ file against .clang-format; --fix rewrites them.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=$(command -v clang-format-14 || command -v clang-format || true)
if [ -z "$tool" ] || ! "$tool" --version | grep -q 'version 14\.'; then
  echo "SKIPPED: clang-format 14 is not installed (other versions lay out differently)"
  exit 77
fi
mode=(--dry-run -Werror)
if [ "${1:-}" = --fix ]; then mode=(-i); fi
find apps src tests examples \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) -print0 | xargs -0 --no-run-if-empty "$tool" "${mode[@]}"
