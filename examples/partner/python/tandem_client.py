"""A client of Tandem's API: gets tokens, signs calls, verifies the signed answers.

What is sent and checked: docs/spec/api-security.md. The key is an Ed25519 key in PEM, whose public
half is registered with the service.
"""

import hashlib
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import Any

import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import ED25519
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

PAUSES = 0.2, 1.0, 5.0  # seconds before another try, unless the service says how long
REQUEST_COVERS = "@method", "@target-uri", "authorization", "dpop"
ANSWER_COVERS = '"@status"', '"content-digest"', '"@method";req', '"@target-uri";req', '"signature";req'
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Refused(Exception):
    """The service refused a call; `problem` is what it answered (RFC 9457)."""

    def __init__(self, response: httpx.Response) -> None:
        self.problem = response.json()
        self.retry_after = response.headers.get("Retry-After")
        super().__init__(f"{response.status_code} {self.problem['code']}: {self.problem['detail']}")


class Client:
    """Calls a service as one of its clients, with all its scopes or fewer. Paths begin with a slash."""

    def __init__(self, base: str, client_id: str, key: bytes, scope: str | None = None) -> None:
        self.http = httpx.Client(base_url=base, auth=Signed(base, client_id, key, scope), timeout=30)

    def get(self, path: str, **query: Any) -> Any:
        """Reads something."""
        return accepted(self.http.get(path, params=query)).json()

    def items(self, path: str, **query: Any) -> Iterator[Any]:
        """All items of a list, page after page, as the `Link` headers lead."""
        page = accepted(self.http.get(path, params=query))
        yield from page.json()["items"]
        while "next" in page.links:
            page = accepted(self.http.get(page.url.join(page.links["next"]["url"])))
            yield from page.json()["items"]

    def post(self, path: str, body: Any = None, key: str | None = None) -> Any:
        """Has something done. Every try carries the same Idempotency-Key, so it is done once."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        for pause in (*PAUSES, None):
            try:
                return accepted(self.http.post(path, json=body, headers=headers)).json()
            except httpx.TransportError:
                if pause is None:
                    raise
            except Refused as refused:
                if pause is None or not refused.problem["retryable"]:
                    raise
                pause = float(refused.retry_after or pause)
            time.sleep(pause)


def accepted(response: httpx.Response) -> httpx.Response:
    """The response, unless it is a refusal."""
    if response.is_success:
        return response
    raise Refused(response)


class Signed(httpx.Auth):
    """Adds token, proof and signature to each request, and checks the signature of each answer."""

    requires_request_body = requires_response_body = True

    def __init__(self, base: str, client_id: str, key: bytes, scope: str | None) -> None:
        self.base, self.client_id, self.scope = base, client_id, scope
        self.key = OKPKey.import_key(key)
        self.proof_key = OKPKey.generate_key("Ed25519")
        self.key_id = self.key.thumbprint()
        own = MappingKeyResolver(public_keys={}, private_keys={self.key_id: load_pem_private_key(key, None)})
        self.signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=own)
        self.published = PublishedKeys(f"{base}/.well-known/jwks.json")
        self.token, self.token_ends = "", 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if time.time() > self.token_ends - 30:
            self.keep_token((yield self.token_request()))
        self.sign(request, request.content)
        response = yield request
        if "Signature" in response.headers:
            verify(response, self.published)
        elif response.is_success and request.method != "GET":
            raise ValueError(f"the answer to {request.method} {request.url} is not signed")

    def token_request(self) -> httpx.Request:
        """A request for a token, by private_key_jwt (RFC 7523) and bound to the proof key."""
        now, endpoint = int(time.time()), f"{self.base}/oauth/token"
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.base, "iat": now, "exp": now + 60}
        assertion = jws({"kid": self.key_id}, claims, self.key)
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        } | ({"scope": self.scope} if self.scope else {})
        return httpx.Request("POST", endpoint, data=form, headers={"DPoP": self.proof("POST", endpoint)})

    def keep_token(self, response: httpx.Response) -> None:
        answer = response.json()
        if "access_token" not in answer:
            raise PermissionError(f"no token: {answer['error']}: {answer['error_description']}")
        self.token, self.token_ends = answer["access_token"], time.time() + answer["expires_in"]

    def proof(self, method: str, url: str, **claims: str) -> str:
        """A new DPoP proof (RFC 9449)."""
        header = {"typ": "dpop+jwt", "jwk": self.proof_key.as_dict(private=False)}
        return jws(header, {"htm": method, "htu": url, "iat": int(time.time()), **claims}, self.proof_key)

    def sign(self, request: Any, body: bytes) -> None:
        """Adds the fields that a call needs; signs it (RFC 9421) unless it only reads."""
        token_hash = hashlib.sha256(self.token.encode()).digest()
        ath = urlsafe_b64encode(token_hash).rstrip(b"=").decode()
        request.headers["Authorization"] = f"DPoP {self.token}"
        request.headers["DPoP"] = self.proof(request.method, str(request.url).split("?")[0], ath=ath)
        if request.method != "GET":
            covers = REQUEST_COVERS + ("idempotency-key",) * ("Idempotency-Key" in request.headers)
            # With a body, the library adds Content-Digest (RFC 9530) and covers it.
            self.signer.sign(
                request, key_id=self.key_id, tag="fapi-2-request", covered_component_ids=covers, body=body or None
            )


class PublishedKeys(HTTPSignatureKeyResolver):
    """The service's keys, read again when an answer names one that is not known yet."""

    def __init__(self, url: str) -> None:
        self.url, self.keys = url, {}

    def resolve_public_key(self, key_id: str) -> Any:
        if key_id not in self.keys:
            published = KeySet.import_key_set(httpx.get(self.url).raise_for_status().json())
            self.keys = {key.kid: key.public_key for key in published.keys}
        return self.keys.get(key_id)


def verify(response: Any, published: PublishedKeys) -> None:
    """Checks that the service signed this answer to this request, body included."""
    HTTPMessageVerifier(signature_algorithm=ED25519, key_resolver=published).verify(
        response,
        expect_tag="fapi-2-response",
        require_components=ANSWER_COVERS,
        body=response.content,
        max_age=timedelta(minutes=1),
    )


def jws(header: dict[str, Any], claims: dict[str, Any], key: OKPKey) -> str:
    claims = {"jti": str(uuid.uuid4()), **claims}
    return jwt.encode({"alg": "Ed25519", **header}, claims, key, algorithms=["Ed25519"])
