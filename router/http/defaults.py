"""Defaults of a server that flags change."""

MAX_CONNECTIONS = 1024  #: open at once. Each costs a descriptor and some 10 kB
REQUEST_SECONDS = 60.0  #: from a request's first byte to its last; a slow sender of 25 MiB needs 3.5 Mbit/s
