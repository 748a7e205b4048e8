"""``python -m ich_cli`` is ``ich``."""

from ich_cli.main import main

if __name__ == "__main__":
    main()
