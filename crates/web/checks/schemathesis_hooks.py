"""What Schemathesis needs to know of Tandem: every request is signed, every signed answer verified."""

import contextlib
import os
import re
import time
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import requests
import schemathesis
from http_message_signatures import HTTPMessageSignaturesException
from tandem_client import Signed, verify

BASE, KEYS = os.environ["TANDEM_BASE"], Path(os.environ["TANDEM_KEYS"])


CLIENTS = {
    party: Signed(BASE, f"demo-{party}", (KEYS / f"{party}.pem").read_bytes(), None)
    for party in ("bazaar", "cloud")
}


def signing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Signs as the platform what is about applications, and anything else as the servicer."""
    client = CLIENTS["bazaar" if "/applications" in request.url else "cloud"]
    if time.time() > client.token_ends - 30:
        with httpx.Client() as http:
            client.keep_token(http.send(client.token_request()))
    body = request.body or b""
    # A generated key may have bytes that cannot be signed; the service then misses the signature.
    with contextlib.suppress(HTTPMessageSignaturesException):
        client.sign(request, body.encode() if isinstance(body, str) else body)
    return request


schemathesis.auth.set_from_requests(signing)


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: Any) -> dict[str, Any]:
    return {"data": str(value).encode()}


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """What the agreement would refuse at once is made to fit, so that what comes after is seen too."""
    if isinstance(body, dict):
        if isinstance(body.get("loan"), str):
            del body["loan"]  # The address names it.
        amount = body.get("amount")
        if isinstance(amount, dict) and re.fullmatch("[A-Z]{3}", str(amount.get("currency"))):
            amount["currency"] = "CNY"
    return body


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Each case is a call of its own, also one whose method is not declared."""
    undeclared = case.method.upper() != case.operation.method.upper()
    key = case.headers.get("Idempotency-Key")
    if undeclared or (isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key)):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())


@schemathesis.check
def signed_answer(ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """An answer to a call that changes something is signed if the caller is known, and verifies."""
    [needed, *_] = case.operation.definition.raw["security"]
    if "signature" in response.headers:
        fields = {name: ", ".join(values) for name, values in response.headers.items()}
        verify(
            SimpleNamespace(
                status_code=response.status_code,
                headers=fields,
                content=response.content,
                request=response.request,
            ),
            CLIENTS["cloud"].published,
        )
    elif response.request.method != "GET" and response.status_code < 400 and "oauth" in needed:
        raise AssertionError("the answer is not signed")
