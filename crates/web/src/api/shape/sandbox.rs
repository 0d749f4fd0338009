//! What a sandbox has that others do not, and the check of a signature.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::application::ApplicationRequest;
use super::instruction::PaymentRequest;
use crate::access::Check;

/// What a sandbox has that others do not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Sandbox {
    /// What a reference in the body of a call begins with to have something happen.
    pub triggers: Vec<Trigger>,
}

/// What a reference can have happen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Trigger {
    /// What the reference begins with.
    pub prefix: &'static str,
    /// What happens.
    pub effect: &'static str,
}

/// A step of what is to have happened in a sandbox.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeedStep {
    /// An application is submitted.
    Application(ApplicationRequest),
    /// The offer to the application with this key is taken.
    Acceptance(String),
    /// All days up to this one are closed, if they are not yet.
    Day(String),
    /// A payment is booked; it names its loan.
    Payment(PaymentRequest),
}

/// What came of a seed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Seeded {
    /// Steps that were carried out.
    pub steps: usize,
    /// The business date after them.
    pub business_date: String,
}

/// What is right and wrong about a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SignatureCheck {
    /// Whether the call would have passed.
    pub passed: bool,
    /// All checks, in order.
    pub checks: Vec<Check>,
}
