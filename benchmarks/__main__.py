"""`python -m benchmarks`, which `script/bench` runs after bootstrapping."""

import sys

from benchmarks.command.cli import main

sys.exit(main())
