"""What an operator does with a store; used by the commands and the admin listener."""
