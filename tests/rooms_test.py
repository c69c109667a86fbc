"""Walks the #include lines: a folder of src/ may include only itself and the folders before it in ROOMS.

usage: rooms_test.py SOURCE_DIR
"""

import pathlib
import re
import sys

ROOMS = ["core", "device", "json", "options", "config", "formats", "source", "router", "rounding", "tensor", "gemm", "layer",
         "measure", "quality", "report"]
# Arrows that point the wrong way and are to go: no new ones, and none that is no longer there.
KNOWN = {("source/training.hpp", "router")}  # it routes the batches that it trains on


def arrows(source):
    for path in sorted((source / "src").rglob("*")):
        if path.suffix in (".hpp", ".cpp", ".cuh", ".cu"):
            for target in re.findall(r'^#include "([^"/]+)/', path.read_text(), re.MULTILINE):
                yield path.relative_to(source / "src"), target


def main():
    source = pathlib.Path(sys.argv[1])
    wrong, strangers = set(), []
    for path, target in arrows(source):
        if target not in ROOMS or path.parts[0] not in ROOMS:
            strangers.append(f"{path} includes {target}/: not among the rooms")
        elif ROOMS.index(target) > ROOMS.index(path.parts[0]):
            wrong.add((str(path), target))
    problems = strangers + [f"{path} includes {target}/, which comes after its own room" for path, target in sorted(wrong - KNOWN)]
    problems += [f"{path} no longer includes {target}/: take it off the list" for path, target in sorted(KNOWN - wrong)]
    print("\n".join(problems) or f"all arrows of {len(ROOMS)} rooms point one way, but for {len(KNOWN)} that are known")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
