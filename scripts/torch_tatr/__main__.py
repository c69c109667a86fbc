#!/usr/bin/env python3
"""tatr-sim's companions for PyTorch: records of a model's routers, and what rounding costs it.

usage: python3 scripts/torch_tatr COMMAND …

    capture     a trace of the routers of a Hugging Face model, with a config to run
    perplexity  a model's perplexity plain and under each strategy, tile and group size; writes what calibrate.py fits
    lab         trains small MoE models, plain or with a strategy, and serves each with every other
    overhead    times what rounding adds to the forward pass of an expert layer

COMMAND --help says the rest; docs/torch.md shows an example. Nothing is fetched from a network.

Exit codes: 0 done; 2 usage or input; 3 a package is missing, or a file cannot be written; 130 interrupted.
"""

import importlib
import os
import pathlib
import sys

COMMANDS = ("capture", "perplexity", "lab", "overhead")

if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent)] + [folder for folder in sys.path if pathlib.Path(folder or ".").resolve() != here]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # models are folders here
    from torch_tatr.problems import Problem, say
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    if sys.argv[1] not in COMMANDS:
        say(f"torch_tatr: error: {sys.argv[1]}: no such command; allowed: {', '.join(COMMANDS)}")
        sys.exit(2)
    try:
        sys.exit(importlib.import_module(f"torch_tatr.{sys.argv[1]}").main(sys.argv[2:]))
    except Problem as problem:
        say(f"torch_tatr {sys.argv[1]}: error: {problem}")
        sys.exit(problem.code)
    except ModuleNotFoundError as error:
        say(f"torch_tatr {sys.argv[1]}: error: needs {error.name}; pip install {error.name}")
        sys.exit(3)
    except MemoryError as error:
        say(f"torch_tatr {sys.argv[1]}: error: not enough memory: {error}")
        sys.exit(3)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which may not be there
            raise
        say(f"torch_tatr {sys.argv[1]}: error: not enough memory on the GPU: {str(error).splitlines()[0]}")
        sys.exit(3)
    except KeyboardInterrupt:
        say(f"torch_tatr {sys.argv[1]}: interrupted")
        sys.exit(130)
