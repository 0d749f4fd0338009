"""Holds a running service against what others' programs and a generated matrix make of its API.

`cargo xtask api` makes the environment and runs this. The service is a demo with two agreements, so
that parties of the one are strangers to the other.
"""

import argparse
import base64
import contextlib
import http.server
import json
import os
import queue
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[3]
PARTNER = ROOT / "examples/partner"
sys.path.insert(0, str(PARTNER / "python"))

import httpx  # noqa: E402
import standardwebhooks  # noqa: E402
from cryptography.exceptions import InvalidSignature as BadSignature  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: E402
from google.protobuf import json_format  # noqa: E402
from http_message_signatures import InvalidSignature  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from opentelemetry.proto.trace.v1.trace_pb2 import Span  # noqa: E402
from tandem_client import Client, verify  # noqa: E402

AGREEMENT, OTHERS = "marketplace", "servicing"
SERVED = [f"examples/{name}" for name in (AGREEMENT, OTHERS)]
MONEY = {"amount": 100, "currency": "CNY"}
APPLICATION = json.loads((PARTNER / "application.json").read_text())

# A body that each call takes; a call without one here fails the check, so that none is forgotten.
LINES = "application/x-ndjson"
BODIES: dict[str, Any] = {
    "submitApplication": APPLICATION,
    "acceptOffer": None,
    "withdrawOffer": None,
    "decideApplication": {"outcome": "approve", "maximum": MONEY, "rate": "12.5%"},
    "closeDay": {"day": "2000-01-01"},
    "handOverBook": {"node": "another", "address": "http://127.0.0.1:1"},
    "bookPayment": {"reference": "P-1", "amount": MONEY},
    "instructLoan": {"reference": "I-1", "instruction": "waive fee 1.00 CNY"},
    "reverseTransaction": {"reference": "R-1", "of": "P-1"},
    "streamApplications": json.dumps(APPLICATION),
    "storePerson": {"data": {"name": "Li Wei"}},
    "erasePerson": None,
    "takeSaleBack": None,
    "addWebhook": {"url": "https://partner.invalid/events", "events": ["rate.fixed"]},
    "removeWebhook": None,
    "enableWebhook": None,
    "resendDelivery": None,
    "seedSandbox": [],
    "streamPayments": json.dumps({"reference": "P-2", "loan": "none", "amount": MONEY}),
}


class Failed(Exception):
    """What a check found."""


class Call(NamedTuple):
    """A call of the OpenAPI document."""

    method: str
    path: str
    name: str
    scopes: set[str]  # any of them will do; without one, anybody may call


class Service:
    """The service under test, with a client for each of its parties."""

    def __init__(self, base: str, tandem: Path, data: Path) -> None:
        self.base, self.tandem, self.keys = base, tandem, data / "keys"
        self.parties = sorted(key.stem for key in self.keys.iterdir())
        self.clients = {party: self.client(party) for party in self.parties}
        self.document = httpx.get(f"{base}/openapi.json").raise_for_status().json()

    def client(self, party: str, scope: str | None = None) -> Client:
        return Client(self.base, f"demo-{party}", (self.keys / f"{party}.pem").read_bytes(), scope)

    def calls(self) -> list[Call]:
        found = []
        for path, methods in self.document["paths"].items():
            for method, call in methods.items():
                scopes = {scope for needed in call["security"] for scope in needed.get("oauth", [])}
                found.append(Call(method.upper(), path, call["operationId"], scopes))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tandem", type=Path, required=True, help="the program")
    parser.add_argument("--folder", type=Path, required=True, help="where files of the run go")
    parser.add_argument("--only", choices=[check.__name__ for check in CHECKS], help="the one check to run")
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    table, failed = [], False
    with serving(options.tandem.resolve(), folder / "data", folder / "serve.log") as service:
        for check in CHECKS:
            if options.only not in (None, check.__name__):
                continue
            print(f"--> {check.__doc__}", flush=True)
            start = time.monotonic()
            try:
                remark = check(service, folder)
            except Failed as problem:
                failed, remark = True, f"FAILED: {str(problem).splitlines()[0]}"
                print(problem)
            table.append(f"{check.__name__:<11}{time.monotonic() - start:>6.1f} s  {remark}")
    print("", *table, sep="\n")
    sys.exit(failed)


@contextlib.contextmanager
def serving(tandem: Path, data: Path, log: Path) -> Iterator[Service]:
    """Starts the service with a demo on a free port, and ends it."""
    shutil.rmtree(data, ignore_errors=True)
    with listening(tandem, data, log, *SERVED, "--demo") as base:
        yield Service(base, tandem, data)


@contextlib.contextmanager
def listening(
    tandem: Path, data: Path, log: Path, *options: Any, environment: dict[str, str] | None = None
) -> Iterator[str]:
    command = [tandem, "serve", *options, "--data", data, "--listen", "127.0.0.1:0"]
    environment = os.environ | (environment or {})
    with log.open("w") as output:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=output, text=True
        )
    try:
        listens = server.stdout.readline()
        base = re.search(r"https?://\S+", listens)
        if base is None:
            sys.exit(f"the service did not start; {log} says why")
        for _ in range(300):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{base[0]}/readyz", verify=False).is_success:
                    break
            time.sleep(0.2)
        yield base[0]
    finally:
        server.terminate()
        server.wait(timeout=30)


def python(service: Service, folder: Path) -> str:
    """The Python example takes a loan from application to payment."""
    return example(service, [sys.executable, PARTNER / "python/example.py"])


def typescript(service: Service, folder: Path) -> str:
    """The TypeScript example does the same, with a token by oauth4webapi; its types are right."""
    copied = folder / "partner"
    shutil.copytree(PARTNER, copied, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    npm(copied / "typescript")
    run(["npm", "run", "--silent", "check"], cwd=copied / "typescript")
    return example(service, ["npm", "start", "--silent", "--prefix", copied / "typescript", "--"])


def example(service: Service, command: list[Any]) -> str:
    reference = f"A-{uuid.uuid4()}"
    run([*command, "--base", service.base, "--keys", service.keys, "--reference", reference])
    loan = service.clients["cloud"].get(f"/v1/agreements/{AGREEMENT}/loans/{reference}")
    received = loan["totals"]["received"]["amount"]
    if loan["status"] != "active" or received <= 0:
        raise Failed(f"loan {reference} is {loan['status']}, with {received} received")
    return f"loan active, {received / 100:,.2f} received"


def lint(service: Service, folder: Path) -> str:
    """Redocly's recommended rules find nothing in the OpenAPI document."""
    target = folder / "lint"
    target.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).with_name("package.json"), target)
    npm(target)
    document = target / "openapi.json"
    document.write_text(json.dumps(service.document, indent=2))
    lint = ["npx", "redocly", "lint", "--extends", "recommended", "--max-problems", "500", "openapi.json"]
    found = run(lint, cwd=target)
    # Warnings do not change the exit status.
    if re.search(r"You have \d+ warning", found):
        raise Failed(found)
    return f"{len(service.calls())} calls, no error, no warning"


def signatures(service: Service, folder: Path) -> str:
    """http-message-signatures verifies answers, and no answer that was changed or moved."""
    platform = service.clients["bazaar"].http
    path, verified = f"/v1/agreements/{AGREEMENT}/applications", 0
    application = APPLICATION | {"reference": f"A-{uuid.uuid4()}"}
    key = {"Idempotency-Key": application["reference"]}
    first = platform.post(path, json=application, headers=key)
    again = platform.post(path, json=application, headers=key)
    other = platform.post(path, json=application | {"term_months": 60}, headers=key)
    unknown = platform.post(f"{path}/none/acceptance", headers={"Idempotency-Key": str(uuid.uuid4())})
    expected = [(first, 201), (again, 201), (other, 422), (unknown, 404)]
    if (found := [answer.status_code for answer, _ in expected]) != [status for _, status in expected]:
        raise Failed(f"the answers have statuses {found}")
    if again.headers.get("Idempotency-Replayed") != "true" or again.content != first.content:
        raise Failed("a repeated call got another answer")
    published = platform.auth.published
    for answer, _ in expected:
        verify(answer, published)
        verified += 1
        changed = answer.content.replace(b'"', b"'", 1)
        request = again.request if answer is not again else first.request
        status = 200 if answer.status_code != 200 else 201
        for part in ({"content": changed}, {"request": request}, {"status_code": status}):
            forged = {"content": answer.content, "request": answer.request, "status_code": answer.status_code} | part
            try:
                verify(httpx.Response(headers=dict(answer.headers), **forged), published)
            except InvalidSignature:
                verified += 1
            else:
                raise Failed(f"the answer still verifies with another {', '.join(part)}")
    return f"{verified} answers verified or refused as they must be"


def schemathesis(service: Service, folder: Path) -> str:
    """Schemathesis finds nothing, with every call signed and every signed answer verified."""
    loan = next(service.clients["cloud"].items(f"/v1/agreements/{AGREEMENT}/loans", status="active"))
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(PARTNER / "python")]),
        "TANDEM_BASE": service.base,
        "TANDEM_KEYS": str(service.keys),
        "TANDEM_LOAN": loan["reference"],
        "TANDEM_PERSON": store_person(service.clients["cloud"]),
    }
    settings = Path(__file__).with_name("schemathesis.toml")
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", settings, "run", f"{service.base}/openapi.json"]
    output = run(command, cwd=folder, env=environment)
    cases = re.search(r"(\d+) generated", output)
    return f"{cases[1] if cases else '?'} cases, nothing found"


def webhooks(service: Service, folder: Path) -> str:
    """Webhooks bring an event, signed by a key (v1a), and so that standardwebhooks verifies it (v1)."""
    platform, root = service.clients["bazaar"], f"/v1/agreements/{AGREEMENT}"
    with receiving(204) as (url, received):
        wanted = {"url": url, "events": ["application.decided"]}
        added = [platform.post(f"{root}/webhooks", wanted | {"scheme": scheme}) for scheme in ("v1a", "v1")]
        # A borrower of its own: one who has had too much already would be declined.
        name = f"A-{uuid.uuid4()}"
        platform.post(f"{root}/applications", APPLICATION | {"reference": name, "borrower": name})
        try:
            messages = [received.get(timeout=20) for _ in added]
        except queue.Empty:
            raise Failed("not all was delivered within 20 seconds") from None
        finally:
            for webhook in added:
                platform.http.delete(f"{root}/webhooks/{webhook['id']}")
    for headers, body in messages:
        webhook = next(one for one in added if headers["webhook-id"].startswith(one["id"]))
        verify_webhook(webhook, headers, body)
        try:
            verify_webhook(webhook, headers, body.replace(b"A-", b"B-", 1))
        except Failed:
            pass
        else:
            raise Failed(f"a changed body still verifies by {webhook['scheme']}")
        if (event := json.loads(body))["subject"] != name:
            raise Failed(f"another event came: {event}")
    if len({headers["webhook-id"] for headers, _ in messages}) != len(added):
        raise Failed("one webhook got the event twice, the other never")
    return "both delivered; both signatures verify, and neither of a changed body"


@contextlib.contextmanager
def receiving(status: int) -> Iterator[tuple[str, queue.Queue[tuple[dict[str, str], bytes]]]]:
    """Takes what is posted, and answers nothing but a status: the address, and what came."""
    received: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            received.put((headers, self.rfile.read(int(headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", received
    finally:
        server.shutdown()


def verify_webhook(webhook: dict[str, Any], headers: dict[str, str], body: bytes) -> None:
    try:
        if webhook["scheme"] == "v1":
            standardwebhooks.Webhook(webhook["secret"]).verify(body, headers)
            return
        # The package knows shared secrets only, so the key verifies what it would.
        key = base64.b64decode(webhook["public_key"].removeprefix("whpk_"))
        signature = headers["webhook-signature"].removeprefix("v1a,")
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(signature), signed)
    except (BadSignature, standardwebhooks.WebhookVerificationError):
        raise Failed(f"the {webhook['scheme']} signature of {body!r} does not verify") from None


def registered(service: Service, data: Path, *parties: str) -> dict[str, Path]:
    """Makes an empty folder for a service that has a client of each party: their keys."""
    shutil.rmtree(data, ignore_errors=True)
    (data / "service").mkdir(parents=True)
    keys = {party: data / f"{party}.pem" for party in parties}
    for party, key in keys.items():
        run([service.tandem, "client", "add", party, "--party", party, "--key-out", key, "--data", data])
    return keys


def collector(service: Service, folder: Path) -> str:
    """OpenTelemetry's own description of OTLP reads what a collector is sent."""
    data = folder / "collector"
    keys = registered(service, data, "bazaar")
    with receiving(200) as (url, received):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_SERVICE_NAME": "lending"}
        options = (folder / "collector.log", f"examples/{AGREEMENT}")
        with listening(service.tandem, data, *options, environment=environment) as base:
            platform = Client(base, "bazaar", keys["bazaar"].read_bytes())
            platform.post(f"/v1/agreements/{AGREEMENT}/applications", APPLICATION)
        spans = []
        while not received.empty():
            # JSON of protobuf has bytes in base64, that of OTLP in hexadecimal digits.
            text = re.sub(
                rb'"(traceId|spanId|parentSpanId)":"([0-9a-f]+)"',
                lambda found: b'"%s":"%s"' % (found[1], base64.b64encode(bytes.fromhex(found[2].decode()))),
                received.get()[1],
            )
            for sent in json_format.Parse(text, ExportTraceServiceRequest()).resource_spans:
                said = {one.key: one.value.string_value for one in sent.resource.attributes}
                if said["service.name"] != "lending":
                    raise Failed(f"the resource is {said}")
                spans.extend(span for scope in sent.scope_spans for span in scope.spans)
    calls = {span.span_id: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
    stages = [span for span in spans if span.kind == Span.SPAN_KIND_INTERNAL]
    for span in stages:
        call = calls[span.parent_span_id]
        times = [call.start_time_unix_nano, span.start_time_unix_nano, span.end_time_unix_nano, call.end_time_unix_nano]
        if span.trace_id != call.trace_id or times != sorted(times):
            raise Failed(f"{span.name} is not inside its call:\n{span}\n{call}")
    names = sorted(span.name for span in calls.values())
    if names != ["POST /oauth/token", "POST /v1/agreements/{agreement}/applications"] or len(stages) != 8:
        raise Failed(f"the calls are {names}, with {len(stages)} stages")
    return f"{len(calls)} calls with {len(stages)} stages inside"


def decider(service: Service, folder: Path) -> str:
    """A lender decides by the example in Python, and what another key signs does not count."""
    data = folder / "decider"
    keys = registered(service, data, "bazaar", "river", "cloud")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = [sys.executable, PARTNER / "python/decider.py", "--port", str(port)]
    root, decided = f"/v1/agreements/{AGREEMENT}", {}
    options = [f"examples/{AGREEMENT}", "--decider", f"river=http://127.0.0.1:{port}/"]
    with listening(service.tandem, data, folder / "decider.log", *options) as base:
        platform, river = (Client(base, party, keys[party].read_bytes()) for party in ("bazaar", "river"))
        for signs in ("river", "cloud"):
            command = [*program, "--base", base, "--key", keys[signs]]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            try:
                wait_for(port)
                name = f"A-{signs}"
                platform.post(f"{root}/applications", APPLICATION | {"reference": name, "borrower": name})
            finally:
                process.terminate()
                process.wait()
            [decided[signs]] = river.get(f"{root}/applications/{name}")["decisions"]
    expected = {"river": ("approve", "9.50%"), "cloud": ("decline", None)}
    found = {signs: (one["outcome"], one.get("rate")) for signs, one in decided.items()}
    if found != expected:
        raise Failed(f"signed by each, river's decision is {found}; {folder / 'decider.log'} says why")
    return "river approves; signed by cloud's key it is silence"


def certificates(service: Service, folder: Path) -> str:
    """Python's TLS (OpenSSL) gets a token bound to its certificate, which counts with no other."""
    data = folder / "certificates"
    keys = registered(service, data, "bazaar")
    server, own, other = (certificate(data / f"{name}.pem") for name in ("server", "own", "other"))
    tls = ["--tls-chain", server, "--tls-key", server, "--client-certificates"]
    with listening(service.tandem, data, folder / "certificates.log", f"examples/{AGREEMENT}", *tls) as base:
        asked = Client(base, "bazaar", keys["bazaar"].read_bytes()).http.auth.token_request()
        del asked.headers["DPoP"]
        answer = connection(server, own).send(asked).json()
        if answer.get("token_type") != "Bearer":
            raise Failed(f"no token that is bound to the certificate: {answer}")
        fields, found = {"Authorization": f"Bearer {answer['access_token']}"}, []
        for shown in (own, other, None):
            called = connection(server, shown).get(f"{base}/v1/agreements", headers=fields)
            found.append((called.status_code, called.json()["code"] if called.is_error else None))
    refused = (401, "bad_client_certificate")
    if found != [(200, None), refused, refused]:
        raise Failed(f"with its certificate, another and none the answers are {found}")
    return "one call passes; with another certificate and with none it is refused"


def connection(server: Path, shown: Path | None) -> httpx.Client:
    """Connections that trust the server's certificate and show one or none."""
    context = ssl.create_default_context(cafile=server)
    if shown:
        context.load_cert_chain(shown)
    return httpx.Client(verify=context)


def certificate(path: Path) -> Path:
    """Makes a certificate that is signed by itself, in one file with its key."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={path.stem}", "-addext", "subjectAltName=IP:127.0.0.1"]
    run([*command, "-keyout", path, "-out", path.with_suffix(".crt")])
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise Failed(f"nothing listens on port {port}")


def scopes(service: Service, folder: Path) -> str:
    """A token without the scope that the document asks for is refused, call by call."""
    flows = service.document["components"]["securitySchemes"]["oauth"]["flows"]
    every = set(flows["clientCredentials"]["scopes"])
    guarded, wrong = [call for call in service.calls() if call.scopes], []
    for call in guarded:
        client = service.client("cloud", " ".join(every - call.scopes))
        status, body, _ = ask(client, call, AGREEMENT, "none")
        if (status, body["code"]) != (403, "forbidden"):
            wrong.append(f"{call.method} {call.path} answers {status} without {call.scopes}")
    if wrong:
        raise Failed("\n".join(wrong))
    return f"{len(guarded)} calls refused"


def isolation(service: Service, folder: Path) -> str:
    """To every party, what is another's and what is not there get the same refusal."""
    compared, wrong = 0, []
    platforms = {AGREEMENT: service.clients["bazaar"], OTHERS: service.clients["mall"]}
    tokens = {party: store_person(client) for party, client in service.clients.items()}
    hooks = f"/v1/agreements/{AGREEMENT}/webhooks"
    webhook = service.clients["cloud"].post(hooks, BODIES["addWebhook"])["id"]
    for party, client in service.clients.items():
        own = {agreement["id"]: agreement for agreement in client.get("/v1/agreements")}
        foreign = tokens["cloud" if party != "cloud" else "river"]
        pairs = [("{token}", "persons", (AGREEMENT, foreign), (AGREEMENT, "none"))]
        if party not in ("cloud", "mall"):
            pairs.append(("{webhook}", "webhooks", (AGREEMENT, webhook), (AGREEMENT, "none")))
        for agreement, platform in platforms.items():
            for kind in ("applications", "loans"):
                root = f"/v1/agreements/{agreement}/{kind}"
                if agreement not in own:
                    there = next(platform.items(root))["reference"]
                    pairs.append(("{agreement}", kind, (agreement, there), ("none", there)))
                elif hidden := next(others(platform.items(root, limit=200), own[agreement], party), None):
                    pairs.append((f"/{kind}/{{reference}}", kind, (agreement, hidden), (agreement, "none")))
        for varies, kind, of_another, not_there in pairs:
            for call in service.calls():
                if varies in call.path and ("{reference}" not in call.path or f"/{kind}/" in call.path):
                    answers = [ask(client, call, *place) for place in (of_another, not_there)]
                    compared += 1
                    if answers[0] != answers[1] or answers[0][0] not in (403, 404):
                        wrong.append(f"{party}: {call.method} {call.path}: {of_another} {not_there}: {answers}")
    for party, token in tokens.items():
        service.clients[party].get(f"/v1/persons/{token}")  # Nobody else erased it.
    service.clients["cloud"].get(f"{hooks}/{webhook}")
    if wrong:
        raise Failed(f"{len(wrong)} of {compared} pairs differ\n" + "\n".join(wrong))
    return f"{compared} pairs over {len(service.parties)} parties are alike"


def store_person(client: Client) -> str:
    return client.post("/v1/persons", BODIES["storePerson"])["token"]


def others(items: Iterator[Any], agreement: dict[str, Any], party: str) -> Iterator[str]:
    """Keys of what does not concern a party: loans that it does not fund if it only lends, and
    applications without an offer if it only guarantees."""
    [roles] = [set(each["roles"]) for each in agreement["parties"] if each["id"] == party]
    for item in items:
        if "parts" in item:
            concerned = roles != {"lender"} or party in [part["lender"] for part in item["parts"]]
        else:
            concerned = roles != {"guarantor"} or "offer" in item
        if not concerned:
            yield item["reference"]


def ask(client: Client, call: Call, agreement: str, reference: str) -> tuple[int, Any, list[str]]:
    """Status, body without the ids that were sent, and names of the fields of an answer."""
    path = call.path.format(agreement=agreement, reference=reference, token=reference, webhook=reference, event=1)
    if call.method == "GET":
        answer = client.http.get(path, params={"from": "2022-01-01", "to": "2022-01-31"})
    elif call.name not in BODIES:
        raise Failed(f"{call.name} is new: add a body for it to BODIES")
    elif isinstance(body := BODIES[call.name], str):
        answer = client.http.request(call.method, path, content=body, headers={"Content-Type": LINES})
    else:
        key = {"Idempotency-Key": str(uuid.uuid4())} if call.method == "POST" else {}
        answer = client.http.request(call.method, path, json=body, headers=key)
    text = answer.text.replace(agreement, "…").replace(reference, "…")
    return answer.status_code, json.loads(text), sorted(answer.headers)


def npm(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise Failed("without npm: on Debian `apt-get install npm`")
    run(["npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"], cwd=folder)


def run(command: list[Any], **options: Any) -> str:
    """Runs a program; what it prints."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(word) for word in command[:3])} failed:\n{done.stdout}")
    return done.stdout


CHECKS: list[Callable[[Service, Path], str]] = [
    python,
    typescript,
    lint,
    signatures,
    webhooks,
    collector,
    decider,
    certificates,
    scopes,
    isolation,
    schemathesis,
]

if __name__ == "__main__":
    main()
