"""Compiles each header of src/ and apps/ alone: one that leans on what its users include first is found.

usage: headers_test.py SOURCE_DIR COMPILER [FLAG…]

Headers of device code (.cuh) want nvcc, which is left to their own users. With TATR_HEADERS_SINCE, a commit, only headers that have
changed since, and those that include one of them.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

EVERYTHING = ("CMakeLists.txt", "install_packages.sh", "headers_test.py")  # a change of these may change what any header compiles to


def compile_alone(source, command, header):
    name = header.relative_to(source / "src" if header.is_relative_to(source / "src") else source / "apps/tatr-sim")
    text = f'#include "{name}"\n#include "{name}"\n'  # twice: it must also guard itself
    result = subprocess.run([*command, "-x", "c++", "-"], input=text, text=True, capture_output=True)
    return f"{name}:\n{result.stderr}" if result.returncode != 0 else ""


def headers_of(source):
    """Those that do not need the CUDA toolkit's own headers."""
    for top in ("src", "apps"):
        for path in sorted((source / top).rglob("*.hpp")):
            if "cuda_runtime_api.h" not in path.read_text() and path.name != "cuda_handles.hpp":
                yield path


def changed_since(source, base):
    """Paths of files; None where git does not know, or where every header may be another."""
    command = ["git", "diff", "--name-only", "--no-renames", base]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    files = {source / path for path in result.stdout.split()}
    return files if result.returncode == 0 and not any(path.name in EVERYTHING for path in files) else None


def reach(source, header, seen):
    """Adds the header and what it includes of the project."""
    if header in seen or not header.exists():
        return
    seen.add(header)
    for target in re.findall(r'^#include "([^"]+)"', header.read_text(), re.MULTILINE):
        for folder in ("src", "apps/tatr-sim"):
            reach(source, source / folder / target, seen)


def touches(source, header, changed):
    seen = set()
    reach(source, header, seen)
    return bool(seen & changed)


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    command = [*sys.argv[2:], "-std=c++20", "-fsyntax-only", "-fopenmp", f"-I{source}/src", f"-I{source}/apps/tatr-sim"]
    headers = list(headers_of(source))
    base = os.environ.get("TATR_HEADERS_SINCE")
    changed = changed_since(source, base) if base else None
    if changed is not None:
        headers = [header for header in headers if touches(source, header, changed)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [one for one in pool.map(lambda header: compile_alone(source, command, header), headers) if one]
    print("\n".join(problems) or f"{len(headers)} headers compile alone")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
