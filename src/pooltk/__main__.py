"""``python -m pooltk`` prints the configuration."""

from ._config import show_config

show_config()
