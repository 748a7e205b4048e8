"""The core of ich: everything but the terminal and the page. See docs/architecture.md."""
