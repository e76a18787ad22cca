"""``python -m mmalign``, the same as ``mmalign``; torchrun starts it so with its ``-m``."""

from mmalign.cli import main

if __name__ == "__main__":
    main()
