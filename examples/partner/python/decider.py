"""A lender's own service: decides on applications and signs what it decides (docs/spec/decider.md).

    tandem serve examples/marketplace --demo --decider river=http://127.0.0.1:9100/
    python decider.py --key demo/keys/river.pem
"""

import argparse
import json
import time
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver
from http_message_signatures.algorithms import ED25519
from joserfc.jwk import KeySet, OKPKey

ANSWER_COVERS = '"@status"', '"webhook-signature";req'


def decide(fields: dict[str, Any]) -> dict[str, Any]:
    """The lender's policy: here two rules, with reasons that its policy file has."""
    if fields.get("debt_to_income") is None:
        return {"outcome": "refer", "reasons": ["R-REF"]}
    if fields.get("delinquencies_2y", 0) > 2:
        return {"outcome": "decline", "reasons": ["R-DELINQ"]}
    return {"outcome": "approve", "maximum": fields["amount"], "rate": "9.5%"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="http://127.0.0.1:8080", help="the service that asks")
    parser.add_argument("--key", type=Path, required=True, help="a key that the lender registered with it")
    parser.add_argument("--port", type=int, default=9100)
    options = parser.parse_args()
    key = options.key.read_bytes()
    key_id = OKPKey.import_key(key).thumbprint()
    own = MappingKeyResolver(public_keys={}, private_keys={key_id: load_pem_private_key(key, None)})
    signer = HTTPMessageSigner(signature_algorithm=ED25519, key_resolver=own)

    class Decider(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            question = httpx.Request("POST", "http://decider/", headers=list(self.headers.items()), content=body)
            if not is_asked_by(options.base, question):
                return self.send_error(401)
            decided = json.dumps(decide(json.loads(body)["fields"])).encode()
            answer = httpx.Response(200, content=decided, request=question)
            # The library adds Content-Digest (RFC 9530) and covers it.
            signer.sign(
                answer, key_id=key_id, tag="fapi-2-response", covered_component_ids=ANSWER_COVERS, body=decided
            )
            self.send_response(200)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(decided)

    ThreadingHTTPServer(("127.0.0.1", options.port), Decider).serve_forever()


def is_asked_by(base: str, question: httpx.Request) -> bool:
    """Whether one of the service's keys signed the question, within five minutes."""
    identifier, at = question.headers["webhook-id"], question.headers["webhook-timestamp"]
    signed = f"{identifier}.{at}.".encode() + question.content
    signature = b64decode(question.headers["webhook-signature"].removeprefix("v1a,"))
    published = KeySet.import_key_set(httpx.get(f"{base}/.well-known/jwks.json").raise_for_status().json())
    for key in published.keys:
        try:
            key.public_key.verify(signature, signed)
        except InvalidSignature:
            continue
        return abs(time.time() - int(at)) < 300
    return False


if __name__ == "__main__":
    main()
