"""Torch architectures, and the one skorch wrapper that trains them."""
