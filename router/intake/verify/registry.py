"""The verification schemes that sources may name: one module each, one line here."""

from router.intake.verify import (
    basic,
    bearer,
    discord,
    github,
    gitlab,
    hmac,
    none,
    shopify,
    slack,
    standard_webhooks,
    stripe,
    svix,
    token,
    twilio,
)
from router.plugins.scheme import Scheme

SCHEMES: dict[str, Scheme] = {
    "standard-webhooks": standard_webhooks,
    "svix": svix,
    "clerk": svix,
    "resend": svix,
    "github": github,
    "gitlab": gitlab,
    "stripe": stripe,
    "slack": slack,
    "shopify": shopify,
    "twilio": twilio,
    "discord": discord,
    "hmac": hmac,
    "basic": basic,
    "bearer": bearer,
    "token": token,
    "none": none,
}
