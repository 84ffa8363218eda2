"""Vendors: where they are, how to authenticate there, which dialect they speak."""
