/**
 * A client of Tandem's API: gets tokens, signs calls, verifies the signed answers.
 *
 * What is sent and checked: docs/spec/api-security.md. The key is an Ed25519 key in PEM, whose
 * public half is registered with the service.
 */
import { createHash, createPrivateKey, createPublicKey, randomUUID, type JsonWebKey } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createSigner, createVerifier, httpbis, type Request as Signable } from "http-message-signatures";
import * as oauth from "oauth4webapi";

const PAUSES = [200, 1_000, 5_000]; // milliseconds before another try, unless the service says how long
const REQUEST_COVERS = ["@method", "@target-uri", "authorization", "dpop"];
const ANSWER_COVERS = [`"@status"`, `"content-digest"`, `"@method";req`, `"@target-uri";req`, `"signature";req`];
const SECONDS = 1_000;

/** What the service answers to a call that it refuses (RFC 9457). */
export interface Problem {
  code: string;
  status: number;
  detail: string;
  errors?: { pointer: string; detail: string }[];
  retryable: boolean;
}

export class Refused extends Error {
  constructor(readonly problem: Problem, readonly retryAfter: string | null) {
    super(`${problem.status} ${problem.code}: ${problem.detail}`);
  }
}

/** Calls a service as one of its clients. Paths begin with a slash; amounts are minor units. */
export class Client {
  private readonly insecure: boolean;
  private readonly signer;
  private dpop?: oauth.DPoPHandle;
  private token = { value: "", ends: 0 };
  private published = new Map<string, ReturnType<typeof createVerifier>>();

  constructor(readonly base: string, readonly clientId: string, private readonly pem: string) {
    const { crv, kty, x } = createPublicKey(pem).export({ format: "jwk" });
    const thumbprint = createHash("sha256").update(JSON.stringify({ crv, kty, x })).digest("base64url");
    this.signer = createSigner(pem, "ed25519", thumbprint);
    this.insecure = base.startsWith("http://"); // for a demo on this machine only
  }

  /** Reads something. */
  async get<T>(path: string): Promise<T> {
    return (await this.call("GET", path)).json() as Promise<T>;
  }

  /** All items of a list, page after page, as the `Link` headers lead. */
  async *items<T>(path: string): AsyncGenerator<T> {
    for (let next: string | undefined = path; next; ) {
      const page = await this.call("GET", next);
      yield* ((await page.json()) as { items: T[] }).items;
      const query = page.headers.get("link")?.match(/^<(.*)>; rel="next"$/)?.[1];
      next = query && path.split("?")[0] + query;
    }
  }

  /** Has something done. Every try carries the same Idempotency-Key, so it is done once. */
  async post<T>(path: string, body?: unknown, key: string = randomUUID()): Promise<T> {
    for (const pause of [...PAUSES, undefined]) {
      try {
        return (await (await this.call("POST", path, body, key)).json()) as T;
      } catch (error) {
        const after = error instanceof Refused && error.problem.retryable ? error.retryAfter : undefined;
        // `fetch` throws a TypeError if the network fails.
        if (pause === undefined || (after === undefined && !(error instanceof TypeError))) throw error;
        await sleep(after ? Number(after) * SECONDS : pause);
      }
    }
    throw new Error("unreachable");
  }

  private async call(method: string, path: string, body?: unknown, key?: string): Promise<Response> {
    if (Date.now() > this.token.ends - 30 * SECONDS) await this.renewToken();
    const headers = new Headers(key === undefined ? {} : { "idempotency-key": key });
    if (body !== undefined) headers.set("content-type", "application/json");
    const text = body === undefined ? undefined : JSON.stringify(body);
    const options = {
      DPoP: this.dpop,
      [oauth.allowInsecureRequests]: this.insecure,
      // What is signed contains the token and the proof, so it is signed after these are there.
      [oauth.customFetch]: (url: string, request: object & { headers: Record<string, string> }) =>
        this.signedFetch(method, url, request, text),
    };
    const url = new URL(path, this.base);
    try {
      const answer = await oauth.protectedResourceRequest(this.token.value, method, url, headers, text, options);
      if (answer.ok) return answer;
      throw await refusal(answer);
    } catch (error) {
      throw error instanceof oauth.WWWAuthenticateChallengeError ? await refusal(error.response) : error;
    }
  }

  /** Gets a token by private_key_jwt (RFC 7523), bound to a proof key (RFC 9449). */
  private async renewToken(): Promise<void> {
    const insecure = { [oauth.allowInsecureRequests]: this.insecure };
    const issuer = new URL(this.base);
    const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
    const server = await oauth.processDiscoveryResponse(issuer, found);
    const pkcs8 = createPrivateKey(this.pem).export({ type: "pkcs8", format: "der" });
    const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
    const client: oauth.Client = { client_id: this.clientId };
    this.dpop ??= oauth.DPoP(client, await oauth.generateKeyPair("Ed25519"));
    const authentication = oauth.PrivateKeyJwt({ key, kid: this.signer.id });
    const options = { DPoP: this.dpop, ...insecure };
    const response = await oauth.clientCredentialsGrantRequest(server, client, authentication, {}, options);
    const answer = await oauth.processClientCredentialsResponse(server, client, response);
    this.token = { value: answer.access_token, ends: Date.now() + (answer.expires_in ?? 0) * SECONDS };
  }

  /** Signs a request (RFC 9421) unless it only reads, sends it, and checks the answer's signature. */
  private async signedFetch(
    method: string,
    url: string,
    request: object & { headers: Record<string, string> },
    body?: string,
  ): Promise<Response> {
    if (method === "GET") return fetch(url, request);
    const headers = { ...request.headers };
    const fields = [...REQUEST_COVERS];
    if ("idempotency-key" in headers) fields.push("idempotency-key");
    if (body !== undefined) {
      headers["content-digest"] = contentDigest(body);
      fields.push("content-digest");
    }
    const params = ["created", "keyid", "tag"];
    const config = { key: this.signer, fields, params, paramValues: { tag: "fapi-2-request" } };
    const signed = await httpbis.signMessage(config, { method, url, headers });
    const answer = await fetch(url, { ...request, headers: signed.headers as Record<string, string> });
    if (answer.ok || answer.headers.has("signature")) await this.verify(signed, answer);
    return answer;
  }

  /** Checks that the service signed this answer to this request, body included. */
  private async verify(request: Signable, answer: Response): Promise<void> {
    const headers = Object.fromEntries(answer.headers);
    const covered = headers["signature-input"]?.match(/\((.*?)\)/)?.[1].split(" ") ?? [];
    const digest = contentDigest(Buffer.from(await answer.clone().arrayBuffer()));
    const keyLookup = async ({ keyid, tag }: { keyid?: string; tag?: string }) => {
      const verify = await this.publishedKey(keyid ?? "");
      return verify && tag === "fapi-2-response" ? { verify } : null;
    };
    const config = { keyLookup, maxAge: 60, tolerance: 5, requiredParams: ["created"] };
    const verified = await httpbis.verifyMessage(config, { status: answer.status, headers }, request);
    const covers = ANSWER_COVERS.every((component) => covered.includes(component));
    if (verified !== true || !covers || headers["content-digest"] !== digest) {
      throw new Error(`the answer to ${request.method} ${request.url} is not signed by the service`);
    }
  }

  /** The service's keys, read again when an answer names one that is not known yet. */
  private async publishedKey(id: string) {
    if (!this.published.has(id)) {
      const set = await (await fetch(new URL("/.well-known/jwks.json", this.base))).json();
      const keys = (set as { keys: (JsonWebKey & { kid: string })[] }).keys;
      const verifier = (key: JsonWebKey) =>
        createVerifier(createPublicKey({ key, format: "jwk" }) as never, "ed25519");
      this.published = new Map(keys.map((key) => [key.kid, verifier(key)]));
    }
    return this.published.get(id);
  }
}

async function refusal(answer: Response): Promise<Refused> {
  return new Refused((await answer.json()) as Problem, answer.headers.get("retry-after"));
}

/** Content-Digest of a body (RFC 9530). */
function contentDigest(body: string | Buffer): string {
  return `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
}
