"""`python -m straightline`: the command line."""

import sys

from straightline.cli import main

if __name__ == "__main__":
    sys.exit(main())
