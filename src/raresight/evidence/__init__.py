"""What predictions show: metrics with intervals, paired differences, published tables beside them."""
