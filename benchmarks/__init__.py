"""How fast, against whom. Each benchmark compares within one run and prints ratios."""
