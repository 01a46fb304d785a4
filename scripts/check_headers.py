#!/usr/bin/env python3
"""Compile every header of src/ and tests/support alone, so that none leans on what others include before it.

usage: check_headers.py BUILD_FOLDER [HEADER...]

Takes the flags of a source of the same layer from BUILD_FOLDER/compile_commands.json and remembers in BUILD_FOLDER
which headers passed, so that only changed ones (or those whose includes changed) are compiled again.
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def flags_of(entry):
    """The flags of a compile command that matter for a syntax check, the compiler first."""
    words = entry["arguments"] if "arguments" in entry else shlex.split(entry["command"])
    start = next(i for i, word in enumerate(words) if Path(word).name.startswith(("c++", "g++", "clang++")))
    kept, skip = [words[start]], False
    for word in words[start + 1:]:
        if skip:
            skip = False
        elif word in ("-o", "-MT", "-MF"):
            skip = True
        elif word not in ("-c", "-MD") and not word.startswith(("-O", "-g")) and word != entry["file"]:
            kept.append(word)
    return kept


def flags_by_layer(build):
    """Layer -> flags. A build in unity mode names no single source, so the target's folder decides."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        output = entry.get("output", "") + entry.get("command", "")
        for layer in (p.name for p in (ROOT / "src/unireplk").iterdir()):
            if f"unireplk_{layer}.dir" in output:
                found.setdefault(layer, flags_of(entry))
        if "unireplk_test_golden.dir" in output:  # the part of the support that sees LibTorch
            found.setdefault("support", flags_of(entry))
    return found


def digest(flags, files):
    """Of the flags and the content of the files; None when one is gone."""
    state = hashlib.sha256(" ".join(flags).encode())
    for name in files:
        path = Path(name)
        if not path.is_file():
            return None
        state.update(path.read_bytes())
    return state.hexdigest()


def check(header, flags, before):
    """(header, record for the next time or None, the compiler's text)"""
    if before and before["digest"] == digest(flags, before["files"]):
        return header, before, ""
    with tempfile.NamedTemporaryFile("r") as rule:
        run = subprocess.run([*flags, "-fsyntax-only", "-MMD", "-MF", rule.name, "-include", str(header), "-x", "c++",
                              os.devnull], capture_output=True, text=True, check=False)
        files = rule.read().replace("\\\n", " ").partition(":")[2].split()
    files = [name for name in files if name != os.devnull]
    return header, {"files": files, "digest": digest(flags, files)} if run.returncode == 0 else None, run.stderr


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = Path(sys.argv[1]).resolve()
    headers = [Path(name).resolve() for name in sys.argv[2:]] or [
        *sorted((ROOT / "src/unireplk").rglob("*.h")), *sorted((ROOT / "tests/support").glob("*.h"))]
    flags = flags_by_layer(build)
    memory = build / "headers_that_passed.json"
    passed = json.loads(memory.read_text()) if memory.is_file() else {}
    jobs = []
    for header in headers:
        layer = "support" if "support" in header.parts else header.relative_to(ROOT / "src/unireplk").parts[0]
        if layer in flags:
            jobs.append((header, flags[layer]))
        else:
            print(f"{header.relative_to(ROOT)}: not checked, nothing of its layer is compiled here")
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for header, record, text in pool.map(lambda job: check(*job, passed.get(str(job[0]))), jobs):
            if record is None:
                failures += 1
                print(f"{header.relative_to(ROOT)} does not compile alone:\n{text}")
            else:
                passed[str(header)] = record
    memory.write_text(json.dumps(passed, indent=0))
    print(f"{len(jobs) - failures} of {len(jobs)} headers compile alone")
    sys.exit(1 if failures or not jobs else 0)


if __name__ == "__main__":
    main()
