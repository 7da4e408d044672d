"""`python -m router`: the command line."""

from router.cli.main import main

if __name__ == "__main__":
    main()
