"""``ich predict``: find, load the model, predict, write."""

from ich_cli.commands.predict.command import predict

__all__ = ["predict"]
