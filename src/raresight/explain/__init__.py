"""Where a detector looked, what an image resembles, how sure the answer is, and whether it may be asked."""
