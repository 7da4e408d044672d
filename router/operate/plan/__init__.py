"""What other rules would make of stored events. Nothing is executed, sent or written."""
