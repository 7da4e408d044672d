"""What rules, intake and actions have to agree on about headers."""

import re

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  #: a token: RFC 9110, section 5.1
CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Names, in lower case, that are removed after verification whatever the scheme, so that nothing later can see them."""
