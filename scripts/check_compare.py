#!/usr/bin/env python3
"""Measures how often `tatr-sim compare` is wrong on this machine.

    scripts/check_compare.py PROGRAM [--config FILE] [--pairs 20] [--factor 1.05] [--folder results/pairs] [-- RUN OPTIONS]

Runs the config PAIRS times two, compares each pair as it is (every regression is a false alarm), then with the samples of
one strategy of NEW multiplied by FACTOR, another strategy in each pair (every regression of its layer time is a find).
Results that are already in the folder are not measured again. Exit code 1 if there was a false alarm or fewer than 19 of
20 slow-downs were found.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys


def slow_down(document, label, factor):
    """Multiplies every time of the kernels of one strategy; routing and the yardstick stay."""
    for experiment in document["experiments"]:
        for strategy in experiment["strategies"]:
            if strategy["label"] != label or strategy["timing"] is None:
                continue
            for name, series in strategy["timing"].items():
                if name.endswith("_ms") and isinstance(series, dict):
                    series["samples"] = [sample * factor for sample in series["samples"]]


def compare(program, base, new):
    """The exit code and what was found, or the program's own words and an end if the results do not compare."""
    result = subprocess.run([program, "compare", base, new, "--markdown", "-"], capture_output=True, text=True)
    if result.returncode not in (0, 1):
        sys.exit(result.stderr.strip())
    return result.returncode, result.stdout


def main():
    own, options = sys.argv[1:], []
    if "--" in own:
        own, options = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--config", default="configs/documented.json")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--factor", type=float, default=1.05)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("results/pairs"))
    arguments = parser.parse_args(own)
    arguments.folder.mkdir(parents=True, exist_ok=True)

    alarms, found = 0, 0
    for pair in range(arguments.pairs):
        base, new = (arguments.folder / f"{pair:03}-{side}.json" for side in ("base", "new"))
        for path in (base, new):
            if not path.exists():
                subprocess.run([arguments.program, "run", arguments.config, "--quiet", "--json", path, *options], check=True)
        code, report = compare(arguments.program, base, new)
        alarms += code
        document = json.loads(new.read_text())
        labels = [s["label"] for s in document["experiments"][0]["strategies"] if s["name"] != "none"]
        label = labels[pair % len(labels)]
        slow_down(document, label, arguments.factor)
        slowed = arguments.folder / "slowed.json"
        slowed.write_text(json.dumps(document))
        _, slowed_report = compare(arguments.program, base, slowed)
        shown = re.escape(re.sub(r"([|<>&*_`\[\]#@\\~])", r"\\\1", label))  # as Markdown escapes it
        is_found = re.search(rf"\*\*slower\*\*: `layer_ms` of {shown}, tile", slowed_report) is not None
        found += is_found
        print(f"pair {pair + 1}: {report.splitlines()[0].removeprefix('### tatr-sim: ')}; "
              f"{label} times {arguments.factor:g} {'found' if is_found else 'not found'}", flush=True)
    print(f"false alarms: {alarms} of {arguments.pairs}; slow-downs found: {found} of {arguments.pairs}")
    sys.exit(alarms > 0 or found * 20 < 19 * arguments.pairs)


if __name__ == "__main__":
    main()
