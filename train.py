"""`python train.py model=lenet act=functional`: the same as `netspec train`."""

import sys

from netspec.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
