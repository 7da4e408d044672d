"""The limits of a server, and how long it waits. `docs/security.md` lists them."""

MAX_CONNECTIONS = 1024  #: open at once, unless a flag says otherwise. Each costs a descriptor and some 10 kB
REQUEST_SECONDS = 60.0  #: the default from a request's first byte to its last; a slow sender of 25 MiB needs 3.5 Mbit/s

HEADER_COUNT = 100  #: headers of one request; real senders need 30
HEADER_BYTES = 64 * 1024  #: of the request line and headers of one request; real senders need a tenth
CHUNK_LINE_BYTES = 4 * 1024  #: of the line before a chunk: its length, and extensions that nobody uses
TRAILER_BYTES = 16 * 1024  #: of the fields after the last chunk, which are ignored
FRAMING_BYTES = 1024 * 1024  #: that the framing of chunks may have, beyond twice the body's limit
INLINE_BYTES = 64 * 1024  #: the loop's thread handles requests with bodies up to this, each in less than a millisecond
LARGE_BYTES = 256 * 1024  #: bodies above this take some 3 ms and more: other threads, or another process, handle them
BODY_MEMORY = 256 * 1024  #: bytes of a body kept in memory; a larger one goes to a temporary file while it arrives
READ_BYTES = 64 * 1024  #: in one read
SLICE_BYTES = 16 * 1024  #: parsed at once; bounds how many pipelined requests wait in memory

THREADS = 4  #: that handle large bodies; they share one interpreter anyway
BACKLOG = 1024  #: connections that the kernel keeps until they are accepted
ACCEPTED_AT_ONCE = 64  #: connections, before the open ones get their turn

HANDSHAKE_SECONDS = 10.0  #: from a connection to the end of its TLS handshake; browsers and Go's clients give up then
#: from a request's first byte to the end of its headers; nginx allows 60, programs in Go usually 5 to 10
HEADER_SECONDS = 20.0
IDLE_SECONDS = 120.0  #: that a connection may be silent, or leave its replies unread
LINGER_SECONDS = 2.0  #: that a refused sender may go on sending: it reads its reply before it is cut
ANSWER_SECONDS = 10.0  #: that a reply may wait for its commit; most senders give up after 10 to 30 s
ACCEPTED_SECONDS = 60.0  #: how long a connection counts as useful after its last 2xx reply
GRACE_SECONDS = 0.05  #: how long a new connection is safe from eviction, so that its first bytes are read
RETRY_AFTER_SECONDS = 5  #: Retry-After of a 503; a full disk or a long queue rarely recovers sooner
SWEEP_SECONDS = 0.5  #: between two checks of all deadlines
REST_SECONDS = 1.0  #: pause of accepting when the process is out of descriptors
STILL_SECONDS = 0.25  #: how long a connection must be idle before a stop closes it
BUSY_SECONDS = 0.02  #: how long a server counts as busy after its last request
