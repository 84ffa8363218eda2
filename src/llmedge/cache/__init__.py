"""Answers that are given again: what makes two calls equal, where answers are kept, which are."""
