"""``ich evaluate``: measure predictions, bundles or runs."""

from ich_cli.commands.evaluate.command import evaluate

__all__ = ["evaluate"]
