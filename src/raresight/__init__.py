"""raresight finds the rare finding in imbalanced medical image sets."""

__version__ = "0.1.0"
