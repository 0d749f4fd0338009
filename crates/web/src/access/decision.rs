//! What a lender's own service decides: signed by the lender, together with the question.

use axum::http::HeaderMap;

use super::Access;
use super::client::Client;
use super::digest::{CONTENT_DIGEST, content_digest};
use super::key::{PublicKey, SigningKey};
use super::message::{self, Message, RESPONSE_TAG, SIGNATURE, SIGNATURE_INPUT};
use super::request::check_created;
use super::sign::{SignError, verify_answer};
use crate::webhooks::WEBHOOK_SIGNATURE;

/// Scope of the clients whose keys sign decisions.
const SCOPE: &str = "decisions:write";

/// What the signature of a decision must cover, and whether it is the question's. The question's
/// own signature stands for its identifier, time and body.
const COVERED: [(&str, bool); 3] = [
    ("@status", false),
    (CONTENT_DIGEST, false),
    (WEBHOOK_SIGNATURE, true),
];

/// The fields with which a lender's service signs its answer of status 200 to a question with
/// these fields.
pub fn sign_decision(
    key: &SigningKey,
    question: &HeaderMap,
    body: &[u8],
    now: i64,
) -> Result<HeaderMap, SignError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_DIGEST, content_digest(body));
    let answer = decision(("", question), 200, &headers);
    let (input, signature) = message::sign(&answer, &COVERED, now, RESPONSE_TAG, key)?;
    headers.insert(SIGNATURE_INPUT, input);
    headers.insert(SIGNATURE, signature);
    Ok(headers)
}

impl Access {
    /// Checks that a lender signed the answer to a question, of which URL and fields are given. One
    /// that has no client for it need not sign.
    pub(crate) fn check_decision(
        &self,
        lender: &str,
        question: (&str, &HeaderMap),
        (status, headers, body): (u16, &HeaderMap, &[u8]),
    ) -> Result<(), String> {
        let mut clients = Client::of(&self.registry, lender).map_err(|error| error.to_string())?;
        clients.retain(|client| client.scopes.has(SCOPE));
        if clients.is_empty() {
            return Ok(());
        }
        // One that is disabled verifies nothing; but its end must not let unsigned answers in.
        clients.retain(|client| !client.disabled);
        let keys: Vec<PublicKey> = clients.into_iter().flat_map(|client| client.keys).collect();
        if !headers.contains_key(SIGNATURE) {
            return Err(format!(
                "the answer is not signed, and {lender} has a client with scope {SCOPE}: sign as \
                 docs/spec/decider.md says"
            ));
        }
        let otherwise = format!("is of no active client of {lender} with scope {SCOPE}");
        let answer = decision(question, status, headers);
        let signed = verify_answer(&answer, body, &COVERED, &keys, &otherwise)?;
        check_created(&signed, self.now()).map_err(|problem| problem.detail)
    }
}

fn decision<'a>(
    (url, question): (&'a str, &'a HeaderMap),
    status: u16,
    headers: &'a HeaderMap,
) -> Message<'a> {
    Message {
        method: "POST",
        target: url,
        status: Some(status),
        headers,
        request: Some(question),
    }
}
