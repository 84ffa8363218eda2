"""The admin API: what people, their scripts and the command ask of keys, budgets, spend and state. Every answer comes
from a function that others can call too."""
