"""What an operator does with a store, for the commands and the admin listener."""
