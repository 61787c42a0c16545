"""Access to the page: the right Host, no foreign Origin, and the token where there is one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie

from aiohttp import web
from aiohttp.typedefs import Middleware

COOKIE = "ztb_session"
PUBLIC = ("/login", "/assets/{name}")
"""Routes that a token is not asked for: they show nothing of the daemon."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # under no-referrer a form's Origin is null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """`hosts`: names that the page goes by, without port; `token` None: whoever reaches us may look."""

    def __init__(self, hosts: frozenset[str], token: str | None, secure: bool) -> None:
        self._hosts = hosts
        self._token = token
        self._secure = secure

    def fault(self, host: str, origin: str | None) -> str | None:
        """The reason why a request is none of ours. A page of another site that reached us by its own name, or
        through a browser that knows us, says so in one of the two headers."""
        if _name(host) not in self._hosts:
            return "this Host is not served here; telemetry.web_hosts lists the names"
        scheme = "https" if self._secure else "http"
        if origin is not None and origin.lower() != f"{scheme}://{host.lower()}":
            return "requests from other origins are not answered"
        return None

    def admits(self, authorization: str, cookies: str) -> bool:
        """True if the token, or the cookie that stands for it, was shown."""
        if self._token is None:
            return True
        session = _cookie(cookies)
        return self.knows(authorization.removeprefix("Bearer ")) or (
            session is not None and hmac.compare_digest(session.encode(), self.session().encode())
        )

    def knows(self, token: str) -> bool:
        """True if `token` is the right one."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def session(self) -> str:
        """The content of the cookie: nobody gets the token from it."""
        return hmac.new((self._token or "").encode(), b"ztb-web-session-1", hashlib.sha256).hexdigest()

    def middleware(self) -> Middleware:
        """Turns away before any handler runs; also what no route knows."""

        @web.middleware
        async def guard(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            fault = self.fault(request.headers.get("Host", ""), request.headers.get("Origin"))
            if fault is not None:
                raise web.HTTPForbidden(text=fault)
            resource = request.match_info.route.resource
            public = resource is not None and resource.canonical in PUBLIC
            if not public and not self.admits(
                request.headers.get("Authorization", ""), request.headers.get("Cookie", "")
            ):
                raise web.HTTPUnauthorized(
                    text="a token is needed: open /login, or send Authorization: Bearer"
                )
            return await handler(request)

        return guard

    async def add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        """On every response, errors too."""
        response.headers.update(_HEADERS)
        if self._secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"


def _name(host: str) -> str:
    """`host` without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


def _cookie(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
