#!/usr/bin/env python3
"""Report what the CUDA kernels of a build use of a GPU, and hold them to it.

check_gpu_code.py --program FILE --architectures sm_80,sm_90 --allowed FILE --output FILE OBJECT...
check_gpu_code.py --self-test

Each OBJECT has beside it, in OBJECT.ptxas, what ptxas has said of its kernels (cmake/keep_ptxas_report.sh). The report, a line
for each kernel and architecture, goes to --output. Exits 1 when the program lacks code for an architecture, when an object
was not compiled for one, or when a kernel spills more registers to memory than --allowed says. That file has lines
`BYTES KERNEL: REASON`: what a thread may store, and the beginning of the kernel's name as the report has it. A line that
nothing needs any more is an error too. --self-test proves that violations are found.
"""

import argparse
import re
import struct
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

Kernel = namedtuple("Kernel", "architecture registers stack spill_stores spill_loads shared name")
Allowance = namedtuple("Allowance", "bytes name place")

COMPILING = re.compile(r"^ptxas info\s*: Compiling entry function '(\S+)' for '(\w+)'")
FUNCTION = re.compile(r"^ptxas info\s*: Function properties for (\S+)")
PROPERTIES = re.compile(r"^\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"^ptxas info\s*: Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
ALLOWED = re.compile(r"^(\d+) (\S.*): \S")


def kernels_of(report):
    """The kernels of the text that ptxas -v prints, and functions that they call, with mangled names."""
    kernel = architecture = function = None
    rows = {}
    for line in report.splitlines():
        if match := COMPILING.match(line):
            kernel, architecture = match.groups()
        elif match := FUNCTION.match(line):
            function = match[1]
        elif match := PROPERTIES.match(line):
            rows[architecture, function] = Kernel(architecture, 0, *map(int, match.groups()), 0, function)
        elif match := USED.match(line):
            shared = SHARED.search(line)
            rows[architecture, kernel] = rows[architecture, kernel]._replace(
                registers=int(match[1]), shared=int(shared[1]) if shared else 0)
    return list(rows.values())


def demangled(kernels):
    names = subprocess.run(["c++filt"], input="\n".join(k.name for k in kernels), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    short = [re.sub(r"^void ", "", n).replace("unireplk::kernels::cuda::", "").replace("(anonymous namespace)::", "")
             for n in names]
    return [k._replace(name=n) for k, n in zip(kernels, short)]


def sections_of(elf):
    """Name and bytes of each section of a 64-bit little-endian ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise SystemExit("not a 64-bit ELF file")
    table, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    texts = headers[names][4]
    for name, _, _, _, offset, length in headers:
        end = elf.index(b"\0", texts + name)
        yield elf[texts + name:end].decode(), elf[offset:offset + length]


def architectures_of(fat_binaries):
    """Those that a section .nv_fatbin holds machine code for: headers of 16 bytes, each before entries with headers of theirs."""
    magic, found, at = struct.pack("<I", 0xBA55ED50), set(), 0
    while (at := fat_binaries.find(magic, at)) >= 0:
        header, length = struct.unpack_from("<HQ", fat_binaries, at + 6)
        entry, end = at + header, at + header + length
        while entry + 32 <= end:
            kind, _, entry_header, payload = struct.unpack_from("<HHIQ", fat_binaries, entry)
            architecture, = struct.unpack_from("<I", fat_binaries, entry + 28)
            if kind == 2:  # 1 is PTX
                found.add(f"sm_{architecture}")
            entry += entry_header + payload
        at = max(end, at + 16)
    return found


def allowances_in(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = ALLOWED.match(line)
        if not match:
            raise SystemExit(f"{path}:{number}: expected `BYTES KERNEL: REASON`, got {line!r}")
        yield Allowance(int(match[1]), match[2], f"{path}:{number}")


def violations(kernels, allowances):
    """What spills and may not, and allowances that are not used."""
    used = set()
    for kernel in kernels:
        if not kernel.spill_stores and not kernel.spill_loads:
            continue
        fitting = [a for a in allowances if kernel.name.startswith(a.name)]
        used.update(a for a in fitting)
        allowed = max((a.bytes for a in fitting), default=0)
        if kernel.spill_stores > allowed:
            yield (f"{kernel.name}: for {kernel.architecture} a thread spills {kernel.spill_stores} bytes of registers, "
                   f"{allowed} are allowed. Take fewer registers, or allow it with a reason.")
    for allowance in allowances:
        if allowance not in used:
            yield f"{allowance.place}: no kernel of this name spills. Take the line out."


def missing_code(what, expected, found):
    for architecture in expected:
        if architecture not in found:
            yield f"{what}: no code for {architecture}, only for {', '.join(sorted(found)) or 'nothing'}"


def table(kernels):
    heads = ("GPU", "registers", "stack", "spill_stores", "spill_loads", "shared", "kernel")
    rows = [heads] + [tuple(map(str, k)) for k in sorted(kernels, key=lambda k: (k.name, k.architecture))]
    return "".join(" ".join(c.rjust(n) for c, n in zip(r, map(len, heads[:-1]))) + f"  {r[-1]}\n" for r in rows)


def check(options):
    found, kernels = [], []
    sections = dict(sections_of(options.program.read_bytes()))
    found += missing_code(options.program, options.architectures, architectures_of(sections.get(".nv_fatbin", b"")))
    for path in options.objects:
        report = path.with_name(path.name + ".ptxas")
        of_object = kernels_of(report.read_text())
        found += missing_code(report, options.architectures, {k.architecture for k in of_object})
        kernels += of_object
    kernels = demangled(kernels)
    found += violations(kernels, list(allowances_in(options.allowed)))
    options.output.write_text(table(kernels))
    for problem in found:
        print(problem)
    most = max((k.registers for k in kernels), default=0)
    spilling = sum(1 for k in kernels if k.spill_stores or k.spill_loads)
    print(f"{len(kernels)} kernels, {most} registers at most, {spilling} spill: {options.output}")
    return 1 if found else 0


SAMPLE = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4goodv' for 'sm_90'
ptxas info    : Function properties for _Z4goodv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 1024 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function '_Z3badv' for 'sm_90'
ptxas info    : Function properties for _Z6helperv
    8 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Function properties for _Z3badv
    24 bytes stack frame, 20 bytes spill stores, 28 bytes spill loads
ptxas info    : Used 255 registers
"""


def self_test():
    kernels = demangled(kernels_of(SAMPLE))
    assert kernels == [Kernel("sm_90", 32, 0, 0, 0, 1024, "good()"), Kernel("sm_90", 0, 8, 0, 0, 0, "helper()"),
                       Kernel("sm_90", 255, 24, 20, 28, 0, "bad()")], kernels
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "allowed"

        def found(text):
            path.write_text(text)
            return list(violations(kernels, list(allowances_in(path))))

        assert "spills 20 bytes" in found("")[0]
        assert "spills 20 bytes" in found("16 bad(: too little\n")[0]
        assert found("# why\n20 bad(: a reason\n") == []
        assert "Take the line out" in found("20 bad(: a reason\n4 good(: none\n")[0]
        try:
            found("20 bad(\n")
            raise AssertionError("a line without a reason was taken")
        except SystemExit as error:
            assert ":1: expected" in str(error)
    entries = b"".join(struct.pack("<HHIQIIHHI", kind, 0, 64, 8, 0, 0, 0, 0, arch).ljust(72, b"\0")
                       for kind, arch in ((2, 80), (1, 90)))
    fat = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
    assert architectures_of(b"\0" * 8 + fat + fat) == {"sm_80"}
    assert list(missing_code("program", ["sm_80", "sm_90"], {"sm_80"})) == ["program: no code for sm_90, only for sm_80"]
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--self-test", action="store_true")
    for option in ("--program", "--allowed", "--output"):
        parser.add_argument(option, type=Path)
    parser.add_argument("--architectures", type=lambda text: text.split(","))
    parser.add_argument("objects", nargs="*", type=Path)
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if not (options.program and options.allowed and options.output and options.architectures and options.objects):
        parser.error("expected --program, --architectures, --allowed, --output and objects")
    return check(options)


if __name__ == "__main__":
    sys.exit(main())
