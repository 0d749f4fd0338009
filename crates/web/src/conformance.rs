//! What a service must do and must refuse, tried from outside: any deployment can be held against
//! it, and nothing in its books changes. Every POST has a body that no book can take, so that what
//! lets it pass ends with a refusal of the resource.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use tandem_client::key::{Algorithm, KeyError, SigningKey, random_id};
use tandem_client::message::SignError;
use tandem_client::sign::Signer;
use tandem_client::system_time;
use tandem_client::{ApiClient, ClientTls, Reply};

/// A body that no book can take.
const BODY: &[u8] = br#"{"conformance": "this is no application"}"#;
const OTHER_BODY: &[u8] = br#"{"conformance": "nor is this"}"#;
const JSON: &str = "application/json";

/// Longer ago than any clock may differ, in seconds.
const LONG_AGO: i64 = 3_600;

/// Life of a token whose end is waited for, in seconds.
const SHORT: u64 = 2;

/// Calls under one key at the same time.
const RACERS: usize = 8;

/// A client of a service.
#[derive(Clone)]
pub struct Identity {
    /// Its name.
    pub client_id: String,
    /// Its private key (PEM).
    pub pem: String,
}

/// What is tried.
#[derive(Clone)]
pub struct Target {
    /// What stands before the paths, without a slash at its end.
    pub base: String,
    /// How it is called over TLS.
    pub tls: ClientTls,
    /// The same with a certificate of the client's, to bind tokens to.
    pub certified: Option<ClientTls>,
    /// Id of an agreement that the client's party is in.
    pub agreement: String,
    /// Who calls.
    pub client: Identity,
    /// A client of another party, to whom what is not its own must not exist.
    pub other: Option<Identity>,
}

/// What came of a case.
pub struct Finding {
    /// What was tried.
    pub case: &'static str,
    /// What must come of it.
    pub expected: &'static str,
    /// What came of it.
    pub found: String,
    /// How that is judged.
    pub verdict: Verdict,
}

/// How a case is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Pass,
    /// Otherwise.
    Fail,
    /// It could not be tried.
    Skipped,
}

impl Verdict {
    /// The verdict in a word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Skipped => "skipped",
        }
    }
}

/// Why a case has no finding.
enum Trouble {
    /// The service cannot be reached, or says what nobody understands.
    Failed(String),
    /// There is nothing to try it with.
    Skipped(&'static str),
}

impl From<String> for Trouble {
    fn from(message: String) -> Trouble {
        Trouble::Failed(message)
    }
}

impl From<KeyError> for Trouble {
    fn from(error: KeyError) -> Trouble {
        Trouble::Failed(error.to_string())
    }
}

impl From<SignError> for Trouble {
    fn from(error: SignError) -> Trouble {
        Trouble::Failed(error.to_string())
    }
}

/// Where a service says how it is called.
const METADATA: &str = "/.well-known/oauth-authorization-server";

type Found = Result<String, Trouble>;
type Case = (&'static str, &'static str, fn(&mut Trial) -> Found);

/// What is tried, in order, what must come of it, and how.
const CASES: [Case; 34] = [
    (
        "the service describes how it is called (RFC 8414)",
        "200 as it must be",
        Trial::metadata,
    ),
    ("a token", "200 DPoP, at most 600 s", |trial| {
        trial.ask_token(0, |_, _| Ok(()))
    }),
    (
        "a token, by an assertion of another key",
        "401 invalid_client",
        |trial| trial.with_another_key(|trial| trial.ask_token(0, |_, _| Ok(()))),
    ),
    (
        "a token, by an assertion that has expired",
        "401 invalid_client",
        |trial| {
            trial.ask_token(LONG_AGO, |trial, headers| {
                let fresh = trial.client.signer.token_request(None, system_time())?;
                headers.clone_from(&fresh.0);
                Ok(())
            })
        },
    ),
    (
        "a token, by an assertion that was used",
        "401 invalid_client",
        Trial::token_again,
    ),
    (
        "a token, without a proof",
        "400 invalid_dpop_proof",
        |trial| {
            trial.ask_token(0, |_, headers| {
                headers.remove("dpop");
                Ok(())
            })
        },
    ),
    ("a call", "200", |trial| trial.get(|_, _| Ok(()))),
    ("a call, without a token", "401 unauthenticated", |trial| {
        trial.get(|_, headers| {
            headers.remove(header::AUTHORIZATION);
            Ok(())
        })
    }),
    (
        "a call, with the token as a bearer token",
        "401 unauthenticated",
        |trial| {
            trial.get(|trial, headers| {
                let bearer = format!("Bearer {}", trial.client.token()?);
                headers.insert(header::AUTHORIZATION, value(&bearer)?);
                Ok(())
            })
        },
    ),
    (
        "a call, with a token that was changed",
        "401 unauthenticated",
        |trial| {
            trial.get(|trial, headers| {
                let mut token = trial.client.token()?;
                let at = token.rfind('.').unwrap_or_default() + 1;
                let other = if token[at..].starts_with('A') {
                    "B"
                } else {
                    "A"
                };
                token.replace_range(at..=at, other);
                headers.insert(header::AUTHORIZATION, value(&format!("DPoP {token}"))?);
                Ok(())
            })
        },
    ),
    ("a call, without a proof", "401 bad_dpop_proof", |trial| {
        trial.get(|_, headers| {
            headers.remove("dpop");
            Ok(())
        })
    }),
    (
        "a call, with another URI's proof",
        "401 bad_dpop_proof",
        |trial| trial.get(|trial, headers| trial.prove(headers, "GET", "/v1/agreements", 0)),
    ),
    (
        "a call, with another method's proof",
        "401 bad_dpop_proof",
        |trial| {
            let path = trial.agreement.clone();
            trial.get(|trial, headers| trial.prove(headers, "HEAD", &path, 0))
        },
    ),
    (
        "a call, with a proof of long ago",
        "401 bad_dpop_proof",
        |trial| {
            let path = trial.agreement.clone();
            trial.get(|trial, headers| trial.prove(headers, "GET", &path, LONG_AGO))
        },
    ),
    (
        "a call, with a proof by whoever took the token",
        "401 bad_dpop_proof",
        Trial::thief,
    ),
    (
        "a call, with a proof that was used",
        "401 replayed",
        Trial::get_again,
    ),
    (
        "a call, with a token that has expired",
        "401 unauthenticated",
        Trial::expired,
    ),
    (
        "a call, with a token bound to a certificate",
        "200",
        |trial| trial.certified(true),
    ),
    (
        "a call, with such a token and no certificate",
        "401 bad_client_certificate",
        |trial| trial.certified(false),
    ),
    (
        "a signed call",
        "reaches the resource; the answer is signed",
        Trial::signed,
    ),
    (
        "a signed call, sent again as it is",
        "401 replayed",
        Trial::post_again,
    ),
    (
        "a signed call, without its signature",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |_, headers| {
                headers.remove("signature");
                headers.remove("signature-input");
                Ok(())
            })
        },
    ),
    (
        "a signed call, by another key",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |trial, headers| {
                let kid = trial.key()?.public().kid.clone();
                let before = trial.client.signer.exchange_key(new_key()?.named(&kid));
                let signed = trial.sign(headers, 0);
                trial.client.signer.exchange_key(before);
                signed
            })
        },
    ),
    (
        "a signed call, signed long ago",
        "401 bad_signature",
        |trial| trial.post(BODY, |trial, headers| trial.sign(headers, LONG_AGO)),
    ),
    (
        "a signed call, signed for another URI",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |trial, headers| {
                let path = format!("{}/loans", trial.agreement);
                let signer = &trial.client.signer;
                Ok(signer.sign_message("POST", &path, headers, BODY, system_time())?)
            })
        },
    ),
    (
        "a signed call, with another body",
        "400 bad_digest",
        |trial| trial.post(OTHER_BODY, |_, _| Ok(())),
    ),
    (
        "a signed call, with another body and its digest",
        "401 bad_signature",
        |trial| {
            trial.post(OTHER_BODY, |trial, headers| {
                let mut other = headers.clone();
                let signer = &trial.client.signer;
                signer.sign_message("POST", &trial.path, &mut other, OTHER_BODY, system_time())?;
                headers.insert("content-digest", other["content-digest"].clone());
                Ok(())
            })
        },
    ),
    (
        "a signed call, with another Idempotency-Key",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |_, headers| {
                headers.insert("idempotency-key", value(&random_id()?)?);
                Ok(())
            })
        },
    ),
    (
        "a signed call, without an Idempotency-Key",
        "400 idempotency_key_missing",
        |trial| {
            let headers = trial
                .client
                .prepare("POST", &trial.path, None, Some((JSON, BODY)))?;
            told(&trial.client.send("POST", &trial.path, &headers, BODY)?)
        },
    ),
    (
        "the same key and body again",
        "the same answer, marked as given before",
        Trial::repeated,
    ),
    (
        "the same key with another body",
        "422 idempotency_key_reused",
        Trial::reused,
    ),
    (
        "the same key and body, eight at once",
        "carried out once",
        Trial::race,
    ),
    ("a loan that is not there", "404 not_found", |trial| {
        let path = format!("{}/loans/{}", trial.agreement, random_id()?);
        told(&trial.client.call("GET", &path, None, None)?)
    }),
    (
        "what is another party's",
        "the same as what is not there",
        Trial::foreign,
    ),
];

/// Tries all cases; none if there is nobody to try them with.
pub fn run(target: &Target) -> Result<Vec<Finding>, String> {
    let agreement = format!("/v1/agreements/{}", target.agreement);
    let mut trial = Trial {
        client: connect(target, &target.tls, &target.client)?,
        path: format!("{agreement}/applications"),
        agreement,
        target: target.clone(),
    };
    trial.client.read(METADATA)?;
    let findings = CASES.into_iter().map(|(case, expected, attempt)| {
        let (found, verdict) = match attempt(&mut trial) {
            Ok(found) if found == expected => (found, Verdict::Pass),
            Ok(found) => (found, Verdict::Fail),
            Err(Trouble::Failed(message)) => (message, Verdict::Fail),
            Err(Trouble::Skipped(why)) => (why.to_owned(), Verdict::Skipped),
        };
        Finding {
            case,
            expected,
            found,
            verdict,
        }
    });
    Ok(findings.collect())
}

fn connect(target: &Target, tls: &ClientTls, identity: &Identity) -> Result<ApiClient, String> {
    let key = SigningKey::from_pem(&identity.pem).map_err(|error| error.to_string())?;
    ApiClient::over(tls.clone(), &target.base, &identity.client_id, key)
}

fn new_key() -> Result<SigningKey, KeyError> {
    SigningKey::from_pem(&SigningKey::generate(Algorithm::Ed25519)?)
}

fn value(text: &str) -> Result<HeaderValue, Trouble> {
    HeaderValue::from_str(text).map_err(|error| Trouble::Failed(error.to_string()))
}

/// Status and code of an answer.
fn told(reply: &Reply) -> Found {
    let body = reply.json();
    let code = body["code"].as_str().or_else(|| body["error"].as_str());
    Ok(match code {
        Some(code) => format!("{} {code}", reply.status),
        None => reply.status.to_string(),
    })
}

/// Whether a call was let pass, as far as the resource.
fn reached(reply: &Reply) -> bool {
    let body = reply.json();
    ["invalid", "forbidden"].contains(&body["code"].as_str().unwrap_or_default())
}

/// Cases on their way.
struct Trial {
    target: Target,
    client: ApiClient,
    /// Path of the agreement.
    agreement: String,
    /// Path that is posted to.
    path: String,
}

impl Trial {
    fn key(&self) -> Result<SigningKey, KeyError> {
        SigningKey::from_pem(&self.target.client.pem)
    }

    fn metadata(&mut self) -> Found {
        let reply = self.client.read(METADATA)?;
        let about = reply.json();
        let has = |field: &str, value: &str| {
            let list = about[field].as_array();
            list.is_some_and(|list| list.iter().any(|item| item == value))
        };
        let keys = self.client.read("/.well-known/jwks.json")?.json();
        for (holds, what) in [
            (
                about["issuer"] == *self.target.base,
                "issuer is not the base URL",
            ),
            (
                about["token_endpoint"] == self.client.signer.token_uri(),
                "token_endpoint is not below the base URL",
            ),
            (
                has("token_endpoint_auth_methods_supported", "private_key_jwt"),
                "no private_key_jwt",
            ),
            (
                has("dpop_signing_alg_values_supported", "EdDSA"),
                "no DPoP with EdDSA",
            ),
            (
                keys["keys"].as_array().is_some_and(|keys| !keys.is_empty()),
                "no keys",
            ),
        ] {
            if !holds {
                return Ok(format!("{} {what}", reply.status));
            }
        }
        Ok(format!("{} as it must be", reply.status))
    }

    /// Asks for a token with an assertion of so many seconds ago and its fields changed.
    fn ask_token(
        &mut self,
        ago: i64,
        change: impl FnOnce(&mut Self, &mut HeaderMap) -> Result<(), Trouble>,
    ) -> Found {
        let (mut headers, body) = self
            .client
            .signer
            .token_request(None, system_time() - ago)?;
        change(self, &mut headers)?;
        let reply = self.post_form(&headers, &body)?;
        let answer = reply.json();
        let ends = answer["expires_in"].as_i64().unwrap_or(i64::MAX);
        match answer["token_type"].as_str() {
            Some(kind) if ends <= 600 => Ok(format!("{} {kind}, at most 600 s", reply.status)),
            Some(kind) => Ok(format!("{} {kind}, {ends} s", reply.status)),
            None => told(&reply),
        }
    }

    fn token_again(&mut self) -> Found {
        let now = system_time();
        let (headers, body) = self.client.signer.token_request(None, now)?;
        let first = self.post_form(&headers, &body)?;
        if first.status != 200 {
            return told(&first);
        }
        // The proof is new, the assertion is not.
        let (fresh, _) = self.client.signer.token_request(None, now)?;
        told(&self.post_form(&fresh, &body)?)
    }

    fn post_form(&self, headers: &HeaderMap, body: &str) -> Result<Reply, String> {
        self.client
            .send("POST", "/oauth/token", headers, body.as_bytes())
    }

    /// Tries something with another key under the client's name and key id.
    fn with_another_key(&mut self, attempt: impl FnOnce(&mut Self) -> Found) -> Found {
        let kid = self.key()?.public().kid.clone();
        let before = self.client.signer.exchange_key(new_key()?.named(&kid));
        let found = attempt(self);
        self.client.signer.exchange_key(before);
        found
    }

    /// Reads the agreement with the fields of the call changed.
    fn get(
        &mut self,
        change: impl FnOnce(&mut Self, &mut HeaderMap) -> Result<(), Trouble>,
    ) -> Found {
        let path = self.agreement.clone();
        let mut headers = self.client.prepare("GET", &path, None, None)?;
        change(self, &mut headers)?;
        told(&self.client.send("GET", &path, &headers, &[])?)
    }

    /// Puts a new proof into a call, of so many seconds ago.
    fn prove(
        &mut self,
        headers: &mut HeaderMap,
        method: &str,
        path: &str,
        ago: i64,
    ) -> Result<(), Trouble> {
        let token = self.client.token()?;
        let now = system_time() - ago;
        Ok(self
            .client
            .signer
            .prove(&token, method, path, headers, now)?)
    }

    fn thief(&mut self) -> Found {
        let token = self.client.token()?;
        let thief = Signer::new(
            &self.target.base,
            &self.target.client.client_id,
            self.key()?,
        )?;
        self.get(|trial, headers| {
            Ok(thief.prove(&token, "GET", &trial.agreement, headers, system_time())?)
        })
    }

    /// Asks for a token that ends soon, and calls with it before its end and after.
    fn expired(&mut self) -> Found {
        let (headers, body) = self.client.signer.token_request(None, system_time())?;
        let body = format!("{body}&expires_in={SHORT}");
        let reply = self.post_form(&headers, &body)?;
        let answer = reply.json();
        let (Some(token), Some(ends)) = (
            answer["access_token"].as_str(),
            answer["expires_in"].as_u64(),
        ) else {
            return told(&reply);
        };
        if ends > SHORT {
            return Err(Trouble::Skipped(
                "the service gives no token that ends soon",
            ));
        }
        let call = |trial: &mut Trial| {
            trial.get(|trial, headers| {
                let signer = &trial.client.signer;
                Ok(signer.prove(token, "GET", &trial.agreement, headers, system_time())?)
            })
        };
        let before = call(self)?;
        if before != "200" {
            return Ok(format!("{before} before its end"));
        }
        // Its end may lie a second later than here, since clocks count whole ones.
        thread::sleep(Duration::from_secs(ends + 1));
        call(self)
    }

    /// Calls with a token that is bound to the client's certificate, and shows that one or none.
    fn certified(&mut self, shown: bool) -> Found {
        let target = &self.target;
        let Some(tls) = &target.certified else {
            return Err(Trouble::Skipped("name a certificate of the client"));
        };
        let mut certified = connect(target, tls, &target.client)?;
        let headers = certified.prepare("GET", &self.agreement, None, None)?;
        let caller = match shown {
            true => &certified,
            false => &self.client,
        };
        told(&caller.send("GET", &self.agreement, &headers, &[])?)
    }

    fn get_again(&mut self) -> Found {
        let headers = self.client.prepare("GET", &self.agreement, None, None)?;
        let first = self.client.send("GET", &self.agreement, &headers, &[])?;
        if first.status != 200 {
            return told(&first);
        }
        told(&self.client.send("GET", &self.agreement, &headers, &[])?)
    }

    fn prepare(&mut self, key: &str, body: &[u8]) -> Result<HeaderMap, Trouble> {
        Ok(self
            .client
            .prepare("POST", &self.path, Some(key), Some((JSON, body)))?)
    }

    fn send(&self, headers: &HeaderMap, body: &[u8]) -> Result<Reply, Trouble> {
        Ok(self.client.send("POST", &self.path, headers, body)?)
    }

    /// Posts a body with the fields of a good call changed.
    fn post(
        &mut self,
        body: &[u8],
        change: impl FnOnce(&mut Self, &mut HeaderMap) -> Result<(), Trouble>,
    ) -> Found {
        let mut headers = self.prepare(&random_id()?, BODY)?;
        change(self, &mut headers)?;
        told(&self.send(&headers, body)?)
    }

    /// Signs a call anew, as if so many seconds ago.
    fn sign(&self, headers: &mut HeaderMap, ago: i64) -> Result<(), Trouble> {
        let now = system_time() - ago;
        let signer = &self.client.signer;
        Ok(signer.sign_message("POST", &self.path, headers, BODY, now)?)
    }

    fn signed(&mut self) -> Found {
        let key = random_id()?;
        let body = Some((JSON, BODY));
        // A signature that is there has been verified.
        let reply = self.client.call("POST", &self.path, Some(&key), body)?;
        match (reached(&reply), reply.headers.contains_key("signature")) {
            (true, true) => Ok("reaches the resource; the answer is signed".to_owned()),
            (true, false) => Ok("reaches the resource; the answer is not signed".to_owned()),
            (false, _) => told(&reply),
        }
    }

    fn post_again(&mut self) -> Found {
        let headers = self.prepare(&random_id()?, BODY)?;
        let first = self.send(&headers, BODY)?;
        if !reached(&first) {
            return told(&first);
        }
        told(&self.send(&headers, BODY)?)
    }

    fn repeated(&mut self) -> Found {
        let key = random_id()?;
        let mut replies = Vec::new();
        for _ in 0..2 {
            let headers = self.prepare(&key, BODY)?;
            replies.push(self.send(&headers, BODY)?);
        }
        let [first, second] = &replies[..] else {
            return Ok("no answers".to_owned());
        };
        if !reached(first) {
            return told(first);
        }
        let same = (first.status, &first.body) == (second.status, &second.body);
        match (same, second.headers.contains_key("idempotency-replayed")) {
            (true, true) => Ok("the same answer, marked as given before".to_owned()),
            (true, false) => Ok("the same answer, not marked".to_owned()),
            (false, _) => Ok(format!("another answer: {}", told(second)?)),
        }
    }

    fn reused(&mut self) -> Found {
        let key = random_id()?;
        let headers = self.prepare(&key, BODY)?;
        let first = self.send(&headers, BODY)?;
        if !reached(&first) {
            return told(&first);
        }
        let headers = self.prepare(&key, OTHER_BODY)?;
        told(&self.send(&headers, OTHER_BODY)?)
    }

    fn race(&mut self) -> Found {
        let key = random_id()?;
        let mut prepared = Vec::new();
        for _ in 0..RACERS {
            prepared.push(self.prepare(&key, BODY)?);
        }
        let start = Barrier::new(RACERS);
        let racing = &*self;
        let replies = thread::scope(|scope| {
            let racers: Vec<_> = prepared
                .iter()
                .map(|headers| {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        racing.client.send("POST", &racing.path, headers, BODY)
                    })
                })
                .collect();
            let replies = racers.into_iter().map(|racer| {
                let panicked = || Err("a thread panicked".to_owned());
                racer.join().unwrap_or_else(|_| panicked())
            });
            replies.collect::<Result<Vec<_>, _>>()
        })?;
        let answered: Vec<_> = replies
            .iter()
            .filter(|reply| reply.json()["code"] != "in_flight")
            .collect();
        let first = |reply: &&&Reply| !reply.headers.contains_key("idempotency-replayed");
        let carried_out = answered.iter().filter(first).count();
        let Some(one) = answered.first() else {
            return Ok("no answer but 409".to_owned());
        };
        if !reached(one) {
            return told(one);
        }
        if answered.iter().any(|reply| reply.body != one.body) {
            return Ok("several answers".to_owned());
        }
        Ok(match carried_out {
            1 => "carried out once".to_owned(),
            count => format!("carried out {count} times"),
        })
    }

    /// What the client sees and the other does not must look to the other as if it were not there.
    fn foreign(&mut self) -> Found {
        let Some(other) = self.target.other.clone() else {
            return Err(Trouble::Skipped("name a client of another party"));
        };
        let mut other = connect(&self.target, &self.target.tls, &other)?;
        let mut hidden = 0;
        for kind in ["loans", "applications"] {
            let path = format!("{}/{kind}", self.agreement);
            let list = self
                .client
                .call("GET", &format!("{path}?limit=50"), None, None)?;
            let list = list.json();
            let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
            let nothing = format!("{path}/{}", random_id()?);
            let nothing = other.call("GET", &nothing, None, None)?;
            for reference in items.iter().filter_map(|item| item["reference"].as_str()) {
                let reply = other.call("GET", &format!("{path}/{reference}"), None, None)?;
                let same = (reply.status, &reply.body) == (nothing.status, &nothing.body);
                match (reply.status, same) {
                    (200, _) => {}
                    (_, true) => hidden += 1,
                    (_, false) => {
                        let (found, expected) = (told(&reply)?, told(&nothing)?);
                        return Ok(format!("{found} for one of {kind}, {expected} for none"));
                    }
                }
            }
        }
        match hidden {
            0 => Err(Trouble::Skipped(
                "the other client sees all that this one sees",
            )),
            _ => Ok("the same as what is not there".to_owned()),
        }
    }
}

/// The findings as a table, and how many failed.
pub fn report(findings: &[Finding]) -> (String, usize) {
    let width = |text: fn(&Finding) -> &str| findings.iter().map(|one| text(one).len()).max();
    let wide = width(|one| one.case).unwrap_or_default();
    let mut text = String::new();
    for one in findings {
        let verdict = one.verdict.name();
        text += &format!("{verdict:<8} {:<wide$}  {}\n", one.case, one.found);
        if one.verdict == Verdict::Fail {
            text += &format!("{:<8} {:<wide$}  {}\n", "", "  expected:", one.expected);
        }
    }
    let count = |verdict| findings.iter().filter(|one| one.verdict == verdict).count();
    let (passed, failed) = (count(Verdict::Pass), count(Verdict::Fail));
    let skipped = count(Verdict::Skipped);
    text += &format!("{passed} passed, {failed} failed, {skipped} skipped\n");
    (text, failed)
}
