"""Fixtures of the matrix: what is said in each case, and how each dialect says it. Nothing here is made by llmedge."""
