//! A partner's side of the API: gets tokens, signs calls, checks signed answers.

mod together;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};

use crate::key::{Jwks, PublicKey, SigningKey};
use crate::message::SIGNATURE;
use crate::sign::Signer;
use crate::{IDEMPOTENCY_KEY, TOKEN_PATH, TRACEPARENT, system_time};
use together::Together;

/// How long a call waits for its connection, and for each part that is sent or comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A token is renewed this many seconds before it ends.
const EARLY: i64 = 30;

/// Calls a service for one client. Each thread has its own.
pub struct ApiClient {
    base: String,
    /// What signs the calls.
    pub signer: Signer,
    http: ureq::Agent,
    token: Option<(String, i64)>,
    trace: Option<HeaderValue>,
    keys: Option<Vec<PublicKey>>,
}

/// How a client speaks TLS, where it is not with a well-known authority and a DPoP proof.
#[derive(Clone, Default)]
pub struct ClientTls {
    authorities: Option<RootCerts>,
    certificate: Option<ClientCert>,
}

impl ClientTls {
    /// Trusts the authorities with these certificates (PEM) and no others.
    pub fn trust(&mut self, pem: &str) -> Result<(), String> {
        self.authorities = Some(RootCerts::new_with_certs(&certificates(pem)?));
        Ok(())
    }

    /// Shows a certificate chain, whose private key is in the same text (PEM). Tokens are bound to
    /// the certificate, and no proofs are made.
    pub fn show(&mut self, pem: &str) -> Result<(), String> {
        let key = PrivateKey::from_pem(pem.as_bytes()).map_err(|error| error.to_string())?;
        self.certificate = Some(ClientCert::new_with_certs(&certificates(pem)?, key));
        Ok(())
    }
}

fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let items = parse_pem(pem.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error.to_string())),
    });
    let found: Vec<_> = items.collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err("there is no certificate (PEM)".to_owned()),
        false => Ok(found),
    }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl ApiClient {
    /// A client of the service at `base`, with the key that is registered there for `client_id`.
    pub fn new(base: &str, client_id: &str, key: SigningKey) -> Result<ApiClient, String> {
        ApiClient::over(ClientTls::default(), base, client_id, key)
    }

    /// The same, with TLS of its own kind.
    pub fn over(
        tls: ClientTls,
        base: &str,
        client_id: &str,
        key: SigningKey,
    ) -> Result<ApiClient, String> {
        let signer = match tls.certificate {
            Some(_) => Ok(Signer::with_certificate(base, client_id, key)),
            None => Signer::new(base, client_id, key),
        };
        let signer = signer.map_err(|error| error.to_string())?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // One for the whole call would have ureq ask for the address in a thread of its own, each time.
            .timeout_connect(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .timeout_per_write(Some(PATIENCE))
            .tls_config(
                TlsConfig::builder()
                    .root_certs(tls.authorities.unwrap_or(RootCerts::WebPki))
                    .client_cert(tls.certificate)
                    .build(),
            )
            .build();
        Ok(ApiClient {
            base: base.to_owned(),
            signer,
            http: ureq::Agent::with_parts(
                config,
                DefaultConnector::new().chain(Together),
                DefaultResolver::default(),
            ),
            token: None,
            trace: None,
            keys: None,
        })
    }

    /// Sends a `traceparent` (W3C Trace Context) with the calls from now on, so that the service's log
    /// can be found by it.
    pub fn follow(&mut self, trace: Option<HeaderValue>) {
        self.trace = trace;
    }

    /// Calls; `body` is a media type and its content, `key` the Idempotency-Key of a POST. A signed
    /// answer that does not verify is an error.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<(&'static str, &[u8])>,
    ) -> Result<Reply, String> {
        let headers = self.prepare(method, path, key, body)?;
        let content = body.map_or(&[][..], |(_, content)| content);
        let reply = self.send(method, path, &headers, content)?;
        self.verify((method, path, &headers), &reply)?;
        Ok(reply)
    }

    /// Checks a signed answer to a request that was prepared here. What is read is not signed.
    pub fn verify(
        &mut self,
        request: (&str, &str, &HeaderMap),
        reply: &Reply,
    ) -> Result<(), String> {
        if request.0 == "GET" || !reply.headers.contains_key(SIGNATURE) {
            return Ok(());
        }
        self.learn_keys()?;
        let keys = self
            .keys
            .as_deref()
            .ok_or("the service publishes no keys")?;
        let answer = (reply.status, &reply.headers, &reply.body[..]);
        self.signer.verify_answer(keys, request, answer)
    }

    /// The fields of a call, with token, proof and signature.
    pub fn prepare(
        &mut self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: Option<(&'static str, &[u8])>,
    ) -> Result<HeaderMap, String> {
        let token = self.token()?;
        let mut headers = HeaderMap::new();
        let content = body.map_or(&[][..], |(_, content)| content);
        if let Some((kind, _)) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(trace) = &self.trace {
            headers.insert(HeaderName::from_static(TRACEPARENT), trace.clone());
        }
        if let Some(key) = key {
            let key = HeaderValue::from_str(key).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(IDEMPOTENCY_KEY), key);
        }
        let signed = self
            .signer
            .sign(&token, method, path, &mut headers, content, system_time());
        signed.map_err(|error| error.to_string())?;
        Ok(headers)
    }

    /// Reads something that needs no caller.
    pub fn read(&self, path: &str) -> Result<Reply, String> {
        self.send("GET", path, &HeaderMap::new(), &[])
    }

    /// The access token, a new one if it is about to end.
    pub fn token(&mut self) -> Result<String, String> {
        let now = system_time();
        if let Some((token, _)) = self.token.as_ref().filter(|(_, ends)| *ends > now + EARLY) {
            return Ok(token.clone());
        }
        let asked = self
            .signer
            .token_request(None, now)
            .map_err(|error| error.to_string())?;
        let reply = self.send("POST", TOKEN_PATH, &asked.0, asked.1.as_bytes())?;
        let answer = reply.json();
        let token = answer["access_token"]
            .as_str()
            .ok_or_else(|| format!("no token: {}", String::from_utf8_lossy(&reply.body)))?;
        let ends = now + answer["expires_in"].as_i64().unwrap_or_default();
        self.token = Some((token.to_owned(), ends));
        Ok(token.to_owned())
    }

    fn learn_keys(&mut self) -> Result<(), String> {
        if self.keys.is_none() {
            let reply = self.read("/.well-known/jwks.json")?;
            let keys: Result<Jwks, _> = serde_json::from_slice(&reply.body);
            let keys = keys.map_err(|error| format!("the service's keys: {error}"))?;
            self.keys = Some(keys.known());
        }
        Ok(())
    }

    /// Sends a request as it is.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Reply, String> {
        let uri = format!("{}{path}", self.base);
        let mut request = Request::builder().method(method).uri(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let sent = match method {
            "GET" | "DELETE" => request.body(()).map(|request| self.http.run(request)),
            _ => request.body(body).map(|request| self.http.run(request)),
        };
        let sent = sent.map_err(|error| error.to_string())?;
        let mut answer = sent.map_err(|error| format!("{uri}: {}", explain(&error.to_string())))?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(u64::from(u32::MAX))
            .read_to_vec();
        Ok(Reply {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: body.map_err(|error| format!("{uri}: {error}"))?,
        })
    }
}

/// What is behind an error of TLS, and what to do. Others are shown as they are.
fn explain(error: &str) -> String {
    let known = [
        (
            "UnknownIssuer",
            "the service's certificate is by an authority that is not known here: trust the \
             authority's certificate (`--authority FILE`)",
        ),
        (
            "CaUsedAsEndEntity",
            "the service shows the certificate of an authority, which no service may use: it needs \
             one of its own that the authority signed",
        ),
        (
            "not valid for name",
            "the service's certificate is for another name: call it by a name in the certificate, or \
             have one made for this name",
        ),
        (
            "certificate expired",
            "the service's certificate is no longer valid: it must be renewed",
        ),
        (
            "invalid HTTP version",
            "what is there does not speak HTTP: write https:// if it speaks TLS",
        ),
    ];
    let known = known.into_iter().find(|(sign, _)| error.contains(sign));
    known.map_or_else(
        || error.to_owned(),
        |(_, words)| format!("{words} ({error})"),
    )
}
