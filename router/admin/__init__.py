"""The listener for the people and machines that operate the daemon."""
