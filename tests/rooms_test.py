"""Walks the #include lines: a folder of src/ may include only itself and the folders before it in ROOMS. And
no two files of one base name stand in different folders.

usage: rooms_test.py SOURCE_DIR
"""

import pathlib
import re
import sys

ROOMS = ["core", "device", "tensor", "json", "options", "config", "formats", "router", "source", "rounding", "libtatr", "gemm", "layer", "model",
         "measure", "quality", "records", "analysis", "report", "experiment"]


def arrows(source):
    for path in sorted((source / "src").rglob("*")):
        if path.suffix in (".hpp", ".cpp", ".cuh", ".cu"):
            for target in re.findall(r'^#include "([^"/]+)/', path.read_text(), re.MULTILINE):
                yield path.relative_to(source / "src"), target


def twins(source):
    """Base names that stand in two folders of src/ and apps/."""
    folders = {}
    for top in ("src", "apps"):
        for path in (source / top).rglob("*"):
            if path.is_file() and path.name != "CMakeLists.txt":
                folders.setdefault(path.name.split(".")[0], set()).add(path.parent.relative_to(source))
    return [f"{name}.* stands in {' and '.join(sorted(map(str, places)))}" for name, places in sorted(folders.items()) if len(places) > 1]


def main():
    source = pathlib.Path(sys.argv[1])
    wrong, strangers = set(), []
    for path, target in arrows(source):
        if target not in ROOMS or path.parts[0] not in ROOMS:
            strangers.append(f"{path} includes {target}/: not among the rooms")
        elif ROOMS.index(target) > ROOMS.index(path.parts[0]):
            wrong.add((str(path), target))
    problems = strangers + [f"{path} includes {target}/, which comes after its own room" for path, target in sorted(wrong)]
    problems += twins(source)
    print("\n".join(problems) or f"all arrows of {len(ROOMS)} rooms point one way, and no base name is there twice")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
