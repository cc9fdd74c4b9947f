"""``python -m raresight``."""

from raresight.cli import main

if __name__ == "__main__":
    main()
