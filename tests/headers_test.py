"""Compiles each header of src/ and apps/ alone: one that leans on what its users include first is found.

usage: headers_test.py SOURCE_DIR COMPILER [FLAG…]

Headers of device code (.cuh) want nvcc, which is left to their own users.
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys


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


def main():
    source = pathlib.Path(sys.argv[1]).resolve()
    command = [*sys.argv[2:], "-std=c++20", "-fsyntax-only", "-fopenmp", f"-I{source}/src", f"-I{source}/apps/tatr-sim"]
    headers = list(headers_of(source))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [one for one in pool.map(lambda header: compile_alone(source, command, header), headers) if one]
    print("\n".join(problems) or f"{len(headers)} headers compile alone")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
