//! How it is tried.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use tandem_client::key::{Algorithm, KeyError, SigningKey, random_id};
use tandem_client::message::SignError;
use tandem_client::sign::Signer;
use tandem_client::{ApiClient, ClientTls, Reply, system_time};

use super::{Identity, Target};

/// A body that no book can take.
pub(super) const BODY: &[u8] = br#"{"conformance": "this is no application"}"#;
pub(super) const OTHER_BODY: &[u8] = br#"{"conformance": "nor is this"}"#;
pub(super) const JSON: &str = "application/json";

/// Longer ago than any clock may differ, in seconds.
pub(super) const LONG_AGO: i64 = 3_600;

/// Life of a token whose end is waited for, in seconds.
const SHORT: u64 = 2;

/// Calls under one key at the same time.
const RACERS: usize = 8;

/// Why a case has no finding.
pub(super) enum Trouble {
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

pub(super) type Found = Result<String, Trouble>;
pub(super) type Case = (&'static str, &'static str, fn(&mut Trial) -> Found);

fn connect(target: &Target, tls: &ClientTls, identity: &Identity) -> Result<ApiClient, String> {
    let key = SigningKey::from_pem(&identity.pem).map_err(|error| error.to_string())?;
    ApiClient::over(tls.clone(), &target.base, &identity.client_id, key)
}

pub(super) fn new_key() -> Result<SigningKey, KeyError> {
    SigningKey::from_pem(&SigningKey::generate(Algorithm::Ed25519)?)
}

pub(super) fn value(text: &str) -> Result<HeaderValue, Trouble> {
    HeaderValue::from_str(text).map_err(|error| Trouble::Failed(error.to_string()))
}

/// Status and code of an answer.
pub(super) fn told(reply: &Reply) -> Found {
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
pub(super) struct Trial {
    target: Target,
    pub(super) client: ApiClient,
    /// Path of the agreement.
    pub(super) agreement: String,
    /// Path that is posted to.
    pub(super) path: String,
}

impl Trial {
    pub(super) fn of(target: &Target) -> Result<Trial, String> {
        let agreement = format!("/v1/agreements/{}", target.agreement);
        let trial = Trial {
            client: connect(target, &target.tls, &target.client)?,
            path: format!("{agreement}/applications"),
            agreement,
            target: target.clone(),
        };
        trial.client.read(METADATA)?;
        Ok(trial)
    }

    pub(super) fn key(&self) -> Result<SigningKey, KeyError> {
        SigningKey::from_pem(&self.target.client.pem)
    }

    pub(super) fn metadata(&mut self) -> Found {
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
    pub(super) fn ask_token(
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

    pub(super) fn token_again(&mut self) -> Found {
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
    pub(super) fn with_another_key(&mut self, attempt: impl FnOnce(&mut Self) -> Found) -> Found {
        let kid = self.key()?.public().kid.clone();
        let before = self.client.signer.exchange_key(new_key()?.named(&kid));
        let found = attempt(self);
        self.client.signer.exchange_key(before);
        found
    }

    /// Reads the agreement with the fields of the call changed.
    pub(super) fn get(
        &mut self,
        change: impl FnOnce(&mut Self, &mut HeaderMap) -> Result<(), Trouble>,
    ) -> Found {
        let path = self.agreement.clone();
        let mut headers = self.client.prepare("GET", &path, None, None)?;
        change(self, &mut headers)?;
        told(&self.client.send("GET", &path, &headers, &[])?)
    }

    /// Puts a new proof into a call, of so many seconds ago.
    pub(super) fn prove(
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

    pub(super) fn thief(&mut self) -> Found {
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
    pub(super) fn expired(&mut self) -> Found {
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
    pub(super) fn certified(&mut self, shown: bool) -> Found {
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

    pub(super) fn get_again(&mut self) -> Found {
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
    pub(super) fn post(
        &mut self,
        body: &[u8],
        change: impl FnOnce(&mut Self, &mut HeaderMap) -> Result<(), Trouble>,
    ) -> Found {
        let mut headers = self.prepare(&random_id()?, BODY)?;
        change(self, &mut headers)?;
        told(&self.send(&headers, body)?)
    }

    /// Signs a call anew, as if so many seconds ago.
    pub(super) fn sign(&self, headers: &mut HeaderMap, ago: i64) -> Result<(), Trouble> {
        let now = system_time() - ago;
        let signer = &self.client.signer;
        Ok(signer.sign_message("POST", &self.path, headers, BODY, now)?)
    }

    pub(super) fn signed(&mut self) -> Found {
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

    pub(super) fn post_again(&mut self) -> Found {
        let headers = self.prepare(&random_id()?, BODY)?;
        let first = self.send(&headers, BODY)?;
        if !reached(&first) {
            return told(&first);
        }
        told(&self.send(&headers, BODY)?)
    }

    pub(super) fn repeated(&mut self) -> Found {
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

    pub(super) fn reused(&mut self) -> Found {
        let key = random_id()?;
        let headers = self.prepare(&key, BODY)?;
        let first = self.send(&headers, BODY)?;
        if !reached(&first) {
            return told(&first);
        }
        let headers = self.prepare(&key, OTHER_BODY)?;
        told(&self.send(&headers, OTHER_BODY)?)
    }

    pub(super) fn race(&mut self) -> Found {
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
    pub(super) fn foreign(&mut self) -> Found {
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
