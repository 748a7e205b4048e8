"""``ich explain``: heat maps, and the benchmark of map methods."""

from ich_cli.commands.explain.command import explain

__all__ = ["explain"]
