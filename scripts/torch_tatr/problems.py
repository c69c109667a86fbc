"""How a command of this package fails: one line on stderr and an exit code (2: usage, config or input; 3: what is missing here)."""

import importlib
import os
import sys
import tempfile

USAGE, ENVIRONMENT = 2, 3


class Problem(Exception):
    """One line for people: where, what value, what is allowed or what to do."""

    def __init__(self, message, code=USAGE):
        super().__init__(message)
        self.code = code


def needed(package, why):
    """The package, or a Problem that names it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise Problem(f"{why} needs {package}: {error}; pip install {package.split('.')[0]}", ENVIRONMENT) from None


def say(message):
    print(message, file=sys.stderr, flush=True)


def write_whole(path, content):
    """Text or bytes into a file that is whole or not there: written beside its destination and renamed."""
    path = os.fspath(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        handle, beside = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".part", dir=os.path.dirname(path) or ".")
        try:
            with os.fdopen(handle, "wb") as file:
                for part in [data] if isinstance(data, bytes) else data:
                    file.write(part)
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(beside, 0o666 & ~mask)  # mkstemp's is for its owner alone
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise Problem(f"{path}: cannot be written: {error.strerror}", ENVIRONMENT) from None


def check_writable(path):
    """Before the work, not after it: that a file can be put there."""
    folder = os.path.dirname(os.fspath(path)) or "."
    if os.path.isdir(path):
        raise Problem(f"{path}: is a folder; allowed: a file")
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise Problem(f"{path}: cannot be written: {folder} is no folder that can be written to", ENVIRONMENT)
