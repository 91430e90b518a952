"""`python eval.py checkpoint=outputs/…`: the same as `netspec eval`."""

import sys

from netspec.cli import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
