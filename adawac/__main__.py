"""`python -m adawac` is the `adawac` command."""

import sys

from adawac.cli import main

if __name__ == "__main__":
    sys.exit(main())
