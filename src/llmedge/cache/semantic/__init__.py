"""Answers to questions that mean the same: looked for, doubted, proven, and then served."""
