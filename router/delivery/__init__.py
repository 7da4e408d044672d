"""From a stored delivery to a settled one."""
