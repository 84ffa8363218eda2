"""Configuration: flags over environment over file over defaults, into one frozen Settings."""

from llmedge.config.load import ConfigError, load
from llmedge.config.settings import Settings

__all__ = ["ConfigError", "Settings", "load"]
