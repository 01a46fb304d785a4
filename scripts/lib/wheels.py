"""Say whether every pinned wheel of some requirement files is installed whole.

    .deps/bin/python scripts/lib/wheels.py deps/libtorch-cpu.txt ...

Prints one word: `good`; `missing` if one is absent or of another version, which pip can mend; `broken` if files of an
installed one, or of pip itself, are gone or cut short, as an interrupted installation leaves them.
"""

import importlib.metadata
import pathlib
import sys


def pins(path):
    lines = pathlib.Path(path).read_text().split()
    return dict(line.split("==") for line in lines)


def is_whole(distribution):
    """pip writes the list of files last: with the list, and each file of its size, the wheel is all there."""
    if not distribution.files:
        return False
    for file in distribution.files:
        if file.suffix == ".pyc" or file.size is None:
            continue
        path = pathlib.Path(distribution.locate_file(file))
        if not path.is_file() or path.stat().st_size != file.size:
            return False
    return True


def installed(name):
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def verdict(paths):
    pip = installed("pip")
    if pip is None or not is_whole(pip):
        return "broken"
    found = "good"
    for path in paths:
        for name, version in pins(path).items():
            distribution = installed(name)
            if distribution is None:
                found = "missing"
            elif not is_whole(distribution):
                return "broken"
            elif distribution.version.split("+")[0] != version:
                found = "missing"
    return found


if __name__ == "__main__":
    print(verdict(sys.argv[1:]))
