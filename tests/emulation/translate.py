#!/usr/bin/env python3
"""Write a CUDA source or header so that a C++ compiler takes it, to run on the emulator of this folder.

translate.py INPUT OUTPUT. Launches become calls of the emulator, and shared memory is asked of it; all else device.h
defines. Lines keep their numbers, and messages of the compiler name INPUT.
"""

import re
import sys
from pathlib import Path

DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s+)?([\w:]+)\s+(\w+)\[\];")
ALIGNMENT = r"__align__\(((?:[^()]|\([^()]*\))*)\)"
DECLARATOR = r"(\w+)((?:\[[^\]]*\])*)"
STATIC = re.compile(rf"__shared__\s+(?:{ALIGNMENT}\s+)?([\w:]+)\s+({DECLARATOR}(?:,\s*{DECLARATOR})*);")
TEMPLATE_ARGUMENTS = r"<[^<>;]*(?:<[^<>;]*>[^<>;]*)*>"
LAUNCH = re.compile(rf"((?:[\w:]+)(?:{TEMPLATE_ARGUMENTS})?)(\s*)<<<(.*?)>>>(\s*)\(", re.DOTALL)


def ask_for_static(match):
    alignment, of, declarators = match.group(1) or 1, match.group(2), match.group(3)
    return " ".join(
        f"auto& {name} = ::unireplk::emulation::static_shared<{of}{extents}>([] {{}}, {alignment});"
        for name, extents in re.findall(DECLARATOR, declarators)
    )


def translate(text):
    text = DYNAMIC.sub(r"\1* const \2 = ::unireplk::emulation::dynamic_shared_as<\1>();", text)
    text = STATIC.sub(ask_for_static, text)
    return LAUNCH.sub(
        r"\2::unireplk::emulation::Launch(\3).of([&](auto... arguments) { \1(arguments...); })\4(",
        text,
    )


def untranslated(text):
    """(line, code) of what no other compiler takes and is left."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"<<<|__shared__", line):
            yield number, line.strip()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    source, output = map(Path, sys.argv[1:])
    text = translate(source.read_text())
    left = [f"{source}:{number}: cannot translate: {line}" for number, line in untranslated(text)]
    if left:
        sys.exit("\n".join(left))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(f'#line 1 "{source}"\n{text}')


if __name__ == "__main__":
    main()
