"""Tile-aware token rounding for PyTorch, by libtatr: the bits of tatr-sim on CPU and GPU. docs/torch.md shows how.

    from torch_tatr import round_topk
    rounded = round_topk(logits, k=8, strategy="nearest", tile=128)

NumPy arrays are rounded without PyTorch. `python3 scripts/torch_tatr --help`: records of a model's routers, and what rounding costs it.
"""

from .adapters import sonicmoe, topk
from .library import LibraryError, library_path
from .rounding import Rounded, round_topk

__all__ = ["LibraryError", "Rounded", "library_path", "round_topk", "sonicmoe", "topk"]
