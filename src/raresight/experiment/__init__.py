"""From recipes and a protocol to a run."""
