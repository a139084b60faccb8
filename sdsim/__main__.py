"""``python -m sdsim``, for launchers that want a module: ``torchrun -m sdsim pretrain …``."""

from sdsim.cli import main

if __name__ == "__main__":
    main()
