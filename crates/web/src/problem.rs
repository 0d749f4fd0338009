//! Errors as partners see them: problem details (RFC 9457) with a stable code.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tandem_domain::book::Refusal;
use utoipa::ToSchema;

/// A kind of problem: what never changes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stable code; the problem's `type` is `/problems/` and the code.
    pub code: &'static str,
    /// Status of the answer.
    pub status: u16,
    /// What it is about, the same for all problems of the kind.
    pub title: &'static str,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
}

/// Declares kinds of problems and the list of all of them.
macro_rules! kinds {
    ($($name:ident, $code:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: Kind = Kind {
                code: $code,
                status: $status,
                title: $title,
                retryable: $retryable,
            };
        )*

        /// All kinds but the book's refusals.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    BAD_REQUEST, "bad_request", 400, false, "The request cannot be read.";
    BAD_DIGEST, "bad_digest", 400, false, "The body is not the one that was digested.";
    KEY_MISSING, "idempotency_key_missing", 400, false, "The call needs an Idempotency-Key.";
    UNAUTHENTICATED, "unauthenticated", 401, false, "The call carries no valid access token.";
    BAD_PROOF, "bad_dpop_proof", 401, false, "The DPoP proof is not valid.";
    BAD_CERTIFICATE, "bad_client_certificate", 401, false,
        "The connection has not the client certificate that the access token is bound to.";
    BAD_SIGNATURE, "bad_signature", 401, false, "The message is not signed as it must be.";
    REPLAYED, "replayed", 401, false, "The proof or signature was used before.";
    FORBIDDEN, "forbidden", 403, false, "The caller's role does not allow this.";
    NOT_FOUND, "not_found", 404, false, "There is nothing here for this caller.";
    METHOD, "method_not_allowed", 405, false, "The resource does not know this method.";
    TOO_SLOW, "too_slow", 408, true, "The body did not come in time.";
    IN_FLIGHT, "in_flight", 409, true, "A request with this Idempotency-Key is being answered.";
    STATE, "state_conflict", 409, false, "The object's state does not allow this.";
    ARCHIVED, "archived", 410, false, "The loan is over and archived.";
    TOO_LARGE, "too_large", 413, false, "The body is too large.";
    MEDIA_TYPE, "media_type", 415, false, "The body is not of the type that the call takes.";
    NOT_OWNER, "not_owner", 421, true, "Another node owns this book.";
    KEY_REUSED, "idempotency_key_reused", 422, false,
        "The Idempotency-Key was used before with another body.";
    INVALID, "invalid", 422, false, "Fields of the request are not valid.";
    TOO_MANY, "too_many_requests", 429, true, "The party sends more than its share.";
    INTERNAL, "internal", 500, true, "Something failed here.";
    UNAVAILABLE, "unavailable", 503, true, "The service cannot take this now.";
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or `query/NAME`, or `header/NAME`.
    pub pointer: String,
    /// What is wrong and what to send.
    pub detail: String,
}

/// A problem, as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    pub type_: String,
    /// Status of the answer.
    pub status: u16,
    /// Stable code for machines.
    pub code: &'static str,
    /// What it is about, the same for all problems of the kind.
    pub title: &'static str,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// The fields that are wrong, if it is about fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Whether the same request may succeed later without a change.
    pub retryable: bool,
    /// Where the book's owner is reached, if another node owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Seconds to wait before another try, as in `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem {
            type_: format!("/problems/{}", kind.code),
            status: kind.status,
            code: kind.code,
            title: kind.title,
            detail: detail.into(),
            errors: Vec::new(),
            retryable: kind.retryable,
            owner: None,
            retry_after: None,
        }
    }

    /// A field that is not valid.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem::fields(vec![FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// Fields that are not valid.
    pub fn fields(errors: Vec<FieldError>) -> Problem {
        let first = errors.first().map(|error| error.detail.clone());
        Problem {
            errors,
            ..Problem::new(INVALID, first.unwrap_or_default())
        }
    }

    /// The same in so many letters, since what is said of a value may repeat it.
    pub(crate) fn within(mut self, letters: usize) -> Problem {
        let errors = self.errors.iter_mut();
        let texts = errors.flat_map(|error| [&mut error.pointer, &mut error.detail]);
        for text in texts.chain([&mut self.detail]) {
            if let Some((end, _)) = text.char_indices().nth(letters) {
                text.truncate(end);
                text.push('…');
            }
        }
        self
    }

    /// What is answered for an object that is not there, and for one that is another's.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(
            NOT_FOUND,
            format!("there is no such {what} for this caller"),
        )
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Problem {
        let code = refusal.code();
        let kind = match refusal {
            Refusal::UnknownApplication(_) | Refusal::UnknownInstruction(_) => NOT_FOUND,
            Refusal::LoanArchived(_) | Refusal::InstructionArchived(_) => ARCHIVED,
            Refusal::KeyUsed(_) => KEY_REUSED,
            Refusal::Closing(_) | Refusal::NotSigned => UNAVAILABLE,
            Refusal::NoOffer { .. }
            | Refusal::NoReferral { .. }
            | Refusal::NotReferredBy { .. }
            | Refusal::AlreadyUnderwritten { .. }
            | Refusal::NoLoan { .. }
            | Refusal::LoanRepaid(_)
            | Refusal::LoanChargedOff(_)
            | Refusal::NotReversible(_)
            | Refusal::NotTheBusinessDate { .. }
            | Refusal::VersionUsed { .. }
            | Refusal::VersionOutOfOrder { .. } => STATE,
            _ => INVALID,
        };
        let errors = match refusal {
            Refusal::BeyondPolicy { field, what } => vec![FieldError {
                pointer: format!("/{field}"),
                detail: what.clone(),
            }],
            _ => Vec::new(),
        };
        Problem {
            type_: format!("/problems/{code}"),
            code,
            errors,
            ..Problem::new(kind, refusal.to_string())
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        Problem::from(&refusal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
