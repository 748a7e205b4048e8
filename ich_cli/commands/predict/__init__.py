"""``ich predict``: probabilities for each slice and study, as tables and reports."""

from ich_cli.commands.predict.command import predict

__all__ = ["predict"]
