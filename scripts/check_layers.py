#!/usr/bin/env python3
"""Hold the #include lines of src/ and apps/ to the architecture.

A layer may include itself, what its row in LAYERS names, and what those may include. Each folder of data/ is a layer of
its own, with the row of "data/*". Prints one line for each violation and exits 1 when there is any. With --self-test it proves that it finds planted violations.
"""

import re
import sys
import tempfile
from pathlib import Path

LAYERS = {
    "core": [],
    "formats": ["core"],
    "config": ["core"],
    "tensor": ["core"],
    "io": ["tensor", "formats"],
    "distributed": ["tensor"],
    "kernels": ["core"],
    "ops": ["tensor", "kernels"],
    "nn": ["ops", "config"],
    "models": ["nn"],
    "data": ["io", "config"],
    "data/*": ["data", "kernels"],
    "tasks": ["models"],
    "train": ["tasks/task.h", "data/loader.h", "ops", "io", "config", "distributed"],
    "export": ["models", "io"],
    "analysis": ["export", "train", "tasks", "data"],
    "runner": ["analysis", "distributed", "data/*"],
    "apps": ["runner"],
}
WITHOUT_LIBTORCH = {"core", "formats", "config", "kernels"}
LIBTORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}


def reachable(layer):
    """Layers and single headers that `layer` may include."""
    allowed, pending = {layer}, [layer]
    while pending:
        for target in LAYERS.get(pending.pop(), []):
            if target in allowed:
                continue
            allowed.add(target)
            # A single header opens its own layer's row, not the layer.
            pending.append(target if target in LAYERS else target.split("/")[0])
    return allowed


def row_of(layer):
    return "data/*" if layer.startswith("data/") else layer


def layer_of_parts(parts):
    """The layer of a file below unireplk/: its first folder, for a modality its first two."""
    return "/".join(parts[:2]) if parts[0] == "data" and len(parts) > 2 else parts[0]


def may_include(layer, target):
    """`target` is a path below unireplk/."""
    allowed = reachable(row_of(layer))
    target_layer = layer_of_parts(target.split("/"))
    is_other_modality = row_of(layer) == "data/*" == row_of(target_layer) and target_layer != layer
    return not is_other_modality and row_of(target_layer) in allowed or target in allowed


def problems_of(text, layer):
    """(line, message) of every include of a file that its layer may not have."""
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, target = match.groups()
        if layer in WITHOUT_LIBTORCH and LIBTORCH.match(target):
            yield number, f"{layer} may not include LibTorch: {target}"
        elif target.startswith("unireplk/"):
            if not may_include(layer, target.removeprefix("unireplk/")):
                yield number, f"{layer} may not include {target}"
        elif quote == '"':
            yield number, f'write includes from src/, as "unireplk/...": {target}'


def layer_of(path, root):
    parts = path.relative_to(root).parts
    return "apps" if parts[0] == "apps" else layer_of_parts(parts[2:])


def check(root):
    """Print every violation below `root`; return how many."""
    files = [p for folder in ("src/unireplk", "apps") for p in sorted((root / folder).rglob("*")) if p.suffix in SUFFIXES]
    if not files:
        print(f"{root}: no sources found")
        return 1
    count = 0
    for path in files:
        layer = layer_of(path, root)
        found = [] if row_of(layer) in LAYERS else [(1, f"unknown layer {layer}; add it to scripts/check_layers.py")]
        for line, message in found or problems_of(path.read_text(), layer):
            print(f"{path.relative_to(root)}:{line}: {message}")
            count += 1
    return count


def self_test():
    cases = {
        "core/a.cpp": ('#include "unireplk/io/files.h"', 1),
        "core/b.cpp": ("#include <ATen/ATen.h>", 1),
        "kernels/cpu/c.cpp": ("#include <c10/core/Device.h>", 1),
        "io/d.cpp": ('#include "unireplk/core/error.h"\n#include <ATen/ATen.h>', 0),
        "io/d.h": ('#include "files.h"', 1),
        "data/image/e.cpp": ('#include "unireplk/nn/block.h"', 1),
        "data/image/f.cpp": ('#include "unireplk/data/source.h"\n#include "unireplk/formats/idx.h"', 0),
        "data/image/g.cpp": ('#include "unireplk/data/image/jpeg.h"', 0),
        "data/audio/h.cpp": ('#include "unireplk/data/image/jpeg.h"', 1),
        "data/i.cpp": ('#include "unireplk/data/image/jpeg.h"', 1),
        "analysis/j.cpp": ('#include "unireplk/data/image/jpeg.h"\n#include "unireplk/data/loader.h"', 1),
        "runner/k.cpp": ('#include "unireplk/data/image/jpeg.h"', 0),
        "train/g.cpp": ('#include "unireplk/tasks/task.h"\n#include "unireplk/data/loader.h"', 0),
        "train/h.cpp": ('#include "unireplk/tasks/classification.h"', 1),
        "train/i.cpp": ('# include "unireplk/data/image/jpeg.h"', 1),
        "surprise/j.cpp": ("", 1),
    }
    for name, (text, expected) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "src/unireplk", name)
            path.parent.mkdir(parents=True)
            path.write_text(text)
            got = check(Path(folder))
            if got != expected:
                sys.exit(f"self-test: {name}: expected {expected} problems, got {got}")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    if check(Path(__file__).resolve().parent.parent):
        sys.exit(1)


if __name__ == "__main__":
    main()
