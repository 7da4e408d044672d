"""The verification schemes that sources may name: one module each, one line here."""

from router.intake.verify import github, hmac, none, token
from router.plugins import Scheme

SCHEMES: dict[str, Scheme] = {"none": none, "github": github, "hmac": hmac, "token": token}
