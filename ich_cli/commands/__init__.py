"""Subcommands of ``ich``: each parses its options, calls the core, and prints results."""
