"""`python -m superpod`."""

from superpod.cli.main import main

if __name__ == "__main__":
    main()
