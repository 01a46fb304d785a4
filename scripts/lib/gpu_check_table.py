"""Print results of the GPU check as tables.

    table.py results/bench.jsonl         a row for each measured case, a column for each program
    table.py --ops results/ops_*.json    a row for each operator of `unireplk bench ops`
"""

import json
import sys


def print_cases(path):
    with open(path) as file:
        lines = [json.loads(text) for text in file]
    if not lines:
        sys.exit("nothing was measured")
    programs = list(dict.fromkeys(line["who"] for line in lines))
    cases = {}
    for line in lines:
        result = line["result"]
        cases.setdefault(line["case"], {})[line["who"]] = result["median_ms"]
        if "single_kernels" in result:
            cases.setdefault(line["case"] + ", large kernels alone", {})[line["who"]] = result["single_kernels"]["median_ms"]
    width = max(len(case) for case in cases)
    print("median ms".ljust(width), *(f"{program:>17}" for program in programs))
    for case, medians in cases.items():
        print(case.ljust(width), *(f"{medians[p]:17.2f}" if p in medians else f"{'-':>17}" for p in programs))


def print_ops(path):
    with open(path) as file:
        report = json.load(file)
    columns = f"{'ours':>9}{'channels_last':>15}{'contiguous':>12}{'times':>8}{'GFLOP/s':>10}"
    print(f"{'median ms, ' + report['precision']:38}{columns}")
    for op in report["ops"]:
        medians = [op[side]["median"] for side in ("ours_ms", "channels_last_ms", "contiguous_ms")]
        row = "{:9.3f}{:15.3f}{:12.3f}".format(*medians)
        print(f"{op['name']:38}{row}{op['times_better']:8.2f}{op['gflops']:10.0f}")


if __name__ == "__main__":
    if sys.argv[1] == "--ops":
        print_ops(sys.argv[2])
    else:
        print_cases(sys.argv[1])
