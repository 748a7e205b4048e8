"""One file a subcommand: parse, call the core, print. No logic."""
