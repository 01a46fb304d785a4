"""Print the lines of a bench.jsonl as one table: a row for each measured case, a column for each program."""

import json
import sys


def main(path):
    with open(path) as file:
        lines = [json.loads(text) for text in file]
    if not lines:
        sys.exit("nothing was measured")
    programs = list(dict.fromkeys(line["who"] for line in lines))
    cases = {}
    for line in lines:
        cases.setdefault(line["case"], {})[line["who"]] = line["result"]["median_ms"]
    width = max(len(case) for case in cases)
    print("median ms".ljust(width), *(f"{program:>14}" for program in programs))
    for case, medians in cases.items():
        print(case.ljust(width), *(f"{medians[p]:14.2f}" if p in medians else f"{'-':>14}" for p in programs))


if __name__ == "__main__":
    main(sys.argv[1])
