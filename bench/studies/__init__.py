"""Studies whose records are in results/: what made the defaults, the recipes and the claims."""
