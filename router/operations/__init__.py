"""What an operator does with a store, for the commands and the admin listener: what is done, not how it is shown."""
