"""What `make` runs, and what starts the programs from a checkout."""
