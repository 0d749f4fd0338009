//! Whether the answer of a lender's own service is the lender's.

use axum::http::HeaderMap;
use tandem_client::decision::{COVERED, decision};
use tandem_client::key::PublicKey;
use tandem_client::message::SIGNATURE;
use tandem_client::sign::verify_answer;

use super::Access;
use super::client::Client;
use super::request::check_created;

/// Scope of the clients whose keys sign decisions.
const SCOPE: &str = "decisions:write";

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
