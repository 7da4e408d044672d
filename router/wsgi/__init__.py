"""`router.wsgi:app`: the intake for any WSGI server, with store, deliveries and admin listener in the same process.

Settings are the environment variables of `serve`, such as WEBHOOK_ROUTER_RULES and WEBHOOK_ROUTER_STORE.
"""

from router.wsgi.hosted import HostedDaemon

app = HostedDaemon()
