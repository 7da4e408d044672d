"""Headers with which a proxy tells a service who calls."""

import fnmatch

# With these headers a proxy tells a service who calls, from where, or what for. Nobody knows all of them, so a forward
# passes on only headers that are known to be harmless. This list is for headers that a rules file names.
_IDENTITY = (
    *(
        "x-webauth-*",
        "remote-*",
        "x-authenticated-*",
        "x-user",
        "x-user-*",
        "x-username",
        "x-email",
        "x-groups",
        "x-roles",
    ),
    *("x-authentik-*", "x-vouch-*", "x-pomerium-*", "x-consumer-*", "x-credential-*", "x-anonymous-consumer", "oidc-*"),
    *("mellon-*", "shib-*", "tailscale-*", "impersonate-*", "x-scope-orgid", "x-ms-client-*", "x-ms-token-*", "cf-*"),
    *("x-amzn-oidc-*", "x-goog-authenticated-*", "x-goog-iap-*", "x-appengine-*", "x-azure-*", "x-arr-*", "x-envoy-*"),
    *("x-access-token", "x-id-token", "x-jwt-*", "x-api-key", "api-key", "x-internal-*", "x-trusted-*"),
    *("client-ip", "true-client-*", "x-client-*", "x-cluster-client-*", "fastly-client-*", "fly-client-*", "x-real-*"),
    *("x-originating-*", "x-original-*", "x-rewrite-*", "x-http-method*", "x-method-override", "x-http-path-override"),
    *("x-host", "x-port", "x-scheme", "x-url-scheme", "x-proxy-*", "front-end-https", "x-ssl-*", "ssl-*", "x-tls-*"),
    *("x-accel-*", "x-sendfile*"),
)


def tells_who_calls(name: str) -> bool:
    """Whether a proxy may use this header to tell a service who calls; `_` counts as `-`."""
    plain = name.lower().replace("_", "-")
    return any(fnmatch.fnmatchcase(plain, glob) for glob in _IDENTITY)
