"""How senders are verified. One module for each scheme."""
