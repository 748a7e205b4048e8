"""What keeps the project's supply in order: licences, distributions. Not installed."""
