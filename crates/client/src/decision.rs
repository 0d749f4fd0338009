//! What a lender's own service decides: signed by the lender, together with the question.

use http::HeaderMap;

use crate::digest::{CONTENT_DIGEST, content_digest};
use crate::key::SigningKey;
use crate::message::{self, Message, RESPONSE_TAG, SIGNATURE, SIGNATURE_INPUT, SignError};

/// Field with the signature of a question, which is sent as webhooks are.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";

/// What the signature of a decision must cover, and whether it is the question's. The question's
/// own signature stands for its identifier, time and body.
pub const COVERED: [(&str, bool); 3] = [
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

/// The message of a decision: URL and fields of the question, status and fields of its answer.
pub fn decision<'a>(
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
