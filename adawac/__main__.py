"""`python -m adawac` is the `adawac` command."""

import sys
from pathlib import Path

if sys.path and (
    not sys.path[0] or sys.path[0] == str(Path.cwd())
):  # as `adawac` does: no file of the working folder is a module
    del sys.path[0]

from adawac.cli import main

if __name__ == "__main__":
    sys.exit(main())
