"""One file per parallel axis: what its groups send for one layer, one micro-batch or one step."""
