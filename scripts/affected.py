#!/usr/bin/env python3
"""Names what the last commit can affect, for scripts/test.sh: the tests of parts, a line each; `cuda-free` where the program without
CUDA may differ; `records-only` where only rooms that move records and text about may. usage: affected.py [BASE], default HEAD~1; without
such a commit, all.

A part's tests depend on its room and on the rooms before it (tests/rooms_test.py)."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from rooms_test import ROOMS  # noqa: E402

LAST_ROOM = {"core": "device", "training": "source", "router": "source"}  # of a test program, where it has not the room's name
COMPUTING = {"device", "tensor", "router", "source", "rounding", "gemm", "layer", "measure"}  # where CUDA and C++ part


RECORDS = {"records", "analysis", "report"}  # which hand no tensor to any other room


def programs():
    return re.findall(r"^add_module_test\((\w+)", (ROOT / "tests/CMakeLists.txt").read_text(), re.MULTILINE)


def changed(base):
    result = subprocess.run(["git", "diff", "--name-only", base, "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return result.stdout.split() if result.returncode == 0 else None


def affected(files):
    """Names of test programs, and whether the program without CUDA may differ."""
    parts, cuda_free = set(), False
    for path in map(pathlib.PurePosixPath, files):
        top, room = path.parts[0], path.parts[1] if len(path.parts) > 2 else ""
        if path.name == "CMakeLists.txt" or path.name == "CMakePresets.json":
            return set(programs()), True
        if top == "src" and room in ROOMS:
            first = ROOMS.index(room)
            parts |= {name for name in programs() if ROOMS.index(LAST_ROOM.get(name, name)) >= first}
            cuda_free = cuda_free or room in COMPUTING
        elif top == "tests" and len(path.parts) == 2 and path.suffix == ".hpp":
            parts |= set(programs())
        elif top == "tests" and room in ROOMS:
            parts |= {name for name in programs() if LAST_ROOM.get(name, name) == room or name == room}
    return parts, cuda_free


def records_only(files):
    """Whether all code that changed, of the program's rooms and of what tests share, is of those rooms."""
    places = [pathlib.PurePosixPath(path).parts for path in files]
    rooms = [parts[1] for parts in places if parts[0] == "src" or (parts[0] == "tests" and (parts[1] in ROOMS or parts[1].endswith(".hpp")))]
    return all(room in RECORDS for room in rooms)


def main():
    files = changed(sys.argv[1] if len(sys.argv) > 1 else "HEAD~1")
    parts, cuda_free = affected(files) if files is not None else (set(programs()), True)
    for name in programs():
        if name in parts:
            print(name)
    if cuda_free:
        print("cuda-free")
    if parts and files is not None and records_only(files):
        print("records-only")


if __name__ == "__main__":
    main()
