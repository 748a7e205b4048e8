"""``ich evaluate``: metrics of predictions, bundles or training runs."""

from ich_cli.commands.evaluate.command import evaluate

__all__ = ["evaluate"]
