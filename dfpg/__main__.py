"""``python -m dfpg``: the same as the ``dfpg`` command."""

from dfpg.cli import main

if __name__ == "__main__":
    main()
