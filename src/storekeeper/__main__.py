"""`python -m storekeeper` is the command `storekeeper`."""

from storekeeper.cli import main

if __name__ == "__main__":
    main()
