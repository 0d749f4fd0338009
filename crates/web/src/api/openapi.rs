//! The description of the API (OpenAPI 3.1), made of the types.

use utoipa::OpenApi;

use super::{applications, books, bulk, events, loans, persons};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tandem",
        description = "Joint lending: applications, offers, loans, ledgers and settlement.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        books::list,
        books::get,
        books::limits,
        books::balances,
        books::postings,
        books::statement,
        books::settlements,
        books::close,
        books::hand_over,
        events::list,
        applications::submit,
        applications::list,
        applications::get,
        applications::accept,
        applications::withdraw,
        bulk::applications,
        bulk::payments,
        loans::list,
        loans::get,
        loans::schedule,
        loans::quote,
        loans::pay,
        loans::transactions,
        loans::instruct,
        loans::reverse,
        loans::postings,
        persons::store,
        persons::read,
        persons::erase,
        persons::accesses
    )
)]
struct Description;

/// The description of the API, in JSON.
pub fn document() -> String {
    Description::openapi().to_pretty_json().unwrap_or_default()
}
