"""What Cloud Run's IAM does in front of a jobs deployment: only the accounts named as invokers get through."""

from collections.abc import Collection

import aiohttp
from aiohttp import web

from local.clock import Clock
from local.google.identity import BadToken, Verifier
from local.proxy import Backend, forward, problem


class Front:
    """The guarded door of one jobs deployment. `audience` is its own base URL, as in the cloud."""

    def __init__(
        self,
        backend: Backend,
        *,
        audience: str,
        invokers: Collection[str],
        verifier: Verifier,
        clock: Clock,
        session: aiohttp.ClientSession,
    ) -> None:
        self._backend = backend
        self._audience = audience
        self._invokers = frozenset(invokers)
        self._verifier = verifier
        self._clock = clock
        self._session = session

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return problem(401, "Unauthorized", "This function is called with an identity token only.")
        try:
            email = self._verifier.email_of(token.strip(), self._audience, now=self._clock.now())
        except BadToken as refusal:
            return problem(401, "Unauthorized", f"The identity token was refused: {refusal}.")
        if email not in self._invokers:
            return problem(403, "Forbidden", f"{email} is not among the invokers of this function.")
        return await forward(request, self._backend, self._session)
