//! A client of Tandem's open API: gets tokens, signs calls and verifies signed answers.
//!
//! [`ApiClient`] is all that a program needs. What is signed, and how, is in the modules below; a
//! service verifies with the same ones.
//!
//! ```no_run
//! use tandem_client::{ApiClient, key::SigningKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::from_pem(&std::fs::read_to_string("shop.pem")?)?;
//! let mut platform = ApiClient::new("https://tandem.example", "shop-1", key)?;
//! let application = br#"{"reference": "A-1", "amount": {"amount": 6500000, "currency": "CNY"},
//!     "term_months": 36, "region": "NJ"}"#;
//! let path = "/v1/agreements/marketplace/applications";
//! let body = Some(("application/json", application.as_slice()));
//! let decided = platform.call("POST", path, Some("A-1"), body)?;
//! println!("{} {}", decided.status, decided.json()["state"]);
//! # Ok(())
//! # }
//! ```

mod client;
pub mod decision;
pub mod digest;
pub mod jose;
pub mod key;
pub mod message;
pub mod proof;
pub mod sign;

pub use client::{ApiClient, ClientTls, Reply};

/// How far a message's time may be from the service's, in seconds, either way.
pub const WINDOW: i64 = 60;
/// How long an assertion may be valid, in seconds; clocks may differ by the window beyond it.
pub const ASSERTION_LIFETIME: i64 = 300;
/// What kind of assertion a client sends (RFC 7523).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Name of the field with the key of a request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Name of the field with the trace that a call belongs to (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";

/// Seconds since 1970.
pub fn system_time() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(0, |duration| {
        i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
    })
}
