"""``python -m dfpg``: the same as the ``dfpg`` command."""

import sys

if __name__ == "__main__":
    try:
        from dfpg.cli import main
    except ModuleNotFoundError as error:  # another Python than the one it was installed for
        sys.stderr.write(
            f"dfpg: {error.name} is not installed for {sys.executable}: "
            "use .venv/bin/python after `make setup`, or run `pip install .` in the clone\n"
        )
        sys.exit(2)
    main()
