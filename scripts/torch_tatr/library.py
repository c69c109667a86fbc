"""libtatr by ctypes: what src/libtatr/tatr.h says, without PyTorch."""

import ctypes
import json
import os
import pathlib
import threading

INTERFACE = 1  # TATR_INTERFACE_VERSION

OUTPUTS = ("chosen", "gates", "counts", "targets", "offsets", "token", "expert", "gate", "token_offsets", "token_rows", "topk_ids", "topk_weights")


class LibraryError(RuntimeError):
    """What libtatr refused, in its words, or that it is not there."""


class _Outputs(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), *((name, ctypes.c_void_p) for name in OUTPUTS), ("width", ctypes.c_int32)]


def library_path():
    """TATR_LIBRARY; else that of a build of this source tree, the newest; else the installed one, which the loader finds."""
    if os.environ.get("TATR_LIBRARY"):
        return os.environ["TATR_LIBRARY"]
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    built = sorted(root.glob("build*/src/libtatr.so.1"), key=lambda path: path.stat().st_mtime)
    return str(built[-1]) if built else "libtatr.so.1"


_loaded = None
_loading = threading.Lock()


def _library():
    global _loaded
    with _loading:
        if _loaded is None:
            _loaded = _load(library_path())
        return _loaded


def _load(path):
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise LibraryError(f"libtatr is not there: {error}; build it (scripts/build.sh), install tatr-sim, or say where it is in TATR_LIBRARY") from None
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
            ("tatr_interface_version", ctypes.c_int32, []), ("tatr_version", text, []), ("tatr_device_count", ctypes.c_int32, []),
            ("tatr_last_error", text, []), ("tatr_create", ctypes.c_int, [ctypes.POINTER(pointer), text]), ("tatr_destroy", None, [pointer]),
            ("tatr_workspace_bytes", ctypes.c_size_t, [pointer]), ("tatr_most_rows", ctypes.c_int64, [pointer]),
            ("tatr_prepare", ctypes.c_int, [pointer, pointer, ctypes.c_size_t, pointer]),
            ("tatr_round_logits", ctypes.c_int, [pointer, pointer, ctypes.POINTER(_Outputs), pointer]),
            ("tatr_round_top_k", ctypes.c_int, [pointer, pointer, pointer, ctypes.POINTER(_Outputs), pointer]),
            ("tatr_check", ctypes.c_int, [pointer, pointer])):
        try:
            function = getattr(library, name)
        except AttributeError:
            raise LibraryError(f"{path}: has no {name}: not libtatr") from None
        function.restype, function.argtypes = result, arguments
    if library.tatr_interface_version() < INTERFACE:
        raise LibraryError(f"{path}: is of interface {library.tatr_interface_version()}; {INTERFACE} is wanted: build it anew")
    return library


class Rounder:
    """A tatr_rounder. Memory is given as addresses; whoever gives it keeps it alive."""

    def __init__(self, options):
        self._library = _library()
        self._handle = ctypes.c_void_p()
        self._call("tatr_create", ctypes.byref(self._handle), json.dumps(options).encode())
        self.workspace_bytes = self._library.tatr_workspace_bytes(self._handle)
        self.most_rows = self._library.tatr_most_rows(self._handle)

    def __del__(self):
        if getattr(self, "_handle", None):
            self._library.tatr_destroy(self._handle)

    def _call(self, name, *arguments):
        if getattr(self._library, name)(*arguments) != 0:
            raise LibraryError(self._library.tatr_last_error().decode())

    def prepare(self, workspace, stream):
        self._call("tatr_prepare", self._handle, workspace, self.workspace_bytes, stream)

    def round_logits(self, logits, outputs, width, stream):
        """`outputs`: addresses by their names in OUTPUTS; those that are left out are not wanted."""
        self._call("tatr_round_logits", self._handle, logits, ctypes.byref(_Outputs(ctypes.sizeof(_Outputs), **outputs, width=width)), stream)

    def check(self, stream):
        """Waits for the stream."""
        self._call("tatr_check", self._handle, stream)
