//! The description of the API (OpenAPI 3.1): what the types and handlers say of themselves, and in
//! `common.json` what all calls have in common.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{
    applications, books, bulk, events, loans, persons, sales, sandbox, underwriting, webhooks,
};
use crate::access::SCOPES;
use crate::problem::Problem;

/// Tags, security, and the parts that [`complete`] refers to.
const COMMON: &str = include_str!("common.json");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tandem",
        description = "Joint lending: applications, offers, loans, ledgers and settlement.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(Problem)),
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
        underwriting::decide,
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
        sales::list,
        sales::take_back,
        persons::store,
        persons::read,
        persons::erase,
        persons::accesses,
        sandbox::describe,
        sandbox::check_signature,
        sandbox::seed,
        webhooks::add,
        webhooks::list,
        webhooks::get,
        webhooks::remove,
        webhooks::enable,
        webhooks::deliveries,
        webhooks::resend
    )
)]
struct Description;

/// The description of the API, in JSON.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}", *DESCRIPTION));
    &DOCUMENT
}

/// The scope that a call needs, by its method and route.
pub(super) fn scope_of(method: &Method, route: &str) -> Option<&'static str> {
    static BY_CALL: LazyLock<HashMap<&str, Vec<(String, &str)>>> = LazyLock::new(|| {
        let paths = DESCRIPTION["paths"].as_object().into_iter().flatten();
        let of_path = |methods: &'static Value| {
            let methods = methods.as_object().into_iter().flatten();
            let needed =
                methods.filter_map(|(method, call)| Some((method.to_uppercase(), scope(call)?)));
            needed.collect()
        };
        paths
            .map(|(path, methods)| (path.as_str(), of_path(methods)))
            .collect()
    });
    let methods = BY_CALL.get(route)?;
    let (_, scope) = methods.iter().find(|(known, _)| method == known.as_str())?;
    Some(scope)
}

/// The description, made once.
pub(super) static DESCRIPTION: LazyLock<Value> = LazyLock::new(describe);

fn describe() -> Value {
    let mut document = json!(Description::openapi());
    let common = serde_json::from_str(COMMON).expect("a test reads it");
    lay_over(&mut document, common);
    let scopes = SCOPES.iter();
    let scopes = scopes.map(|(scope, about)| ((*scope).to_owned(), json!(about)));
    document["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"]["scopes"] =
        Value::Object(scopes.collect());
    for (name, schema) in entries(&mut document["components"]["schemas"]) {
        if let Some(item) = name.strip_prefix("List_") {
            // The derived schema has the item written out.
            schema["properties"]["items"]["items"] = reference("schemas", item);
        }
    }
    for (_, methods) in entries(&mut document["paths"]) {
        for (method, operation) in entries(methods) {
            complete(operation, method);
        }
    }
    document
}

/// Adds to a call what all calls have in common, or all that change something.
fn complete(operation: &mut Value, method: &str) {
    // Anybody may call it, so nothing is signed.
    let open = operation["security"] == json!([{}]);
    let changes = method != "get" && !open;
    let lines = "/content/application~1x-ndjson/schema";
    let asked = operation.pointer_mut(&format!("/requestBody{lines}"));
    let repeatable = method == "post" && !open && asked.is_none();
    asked.map(in_lines);
    let parameters = [("InteractionId", !open), ("IdempotencyKey", repeatable)];
    let parameters = parameters.into_iter().filter(|(_, has)| *has);
    let parameters = parameters.map(|(part, _)| reference("parameters", part));
    match &mut operation["parameters"] {
        Value::Array(own) => own.extend(parameters),
        none => *none = parameters.collect(),
    }
    for (_, response) in entries(&mut operation["responses"]) {
        response.pointer_mut(lines).map(in_lines);
        let schema = response.pointer("/content/application~1json/schema/$ref");
        let schema = schema.and_then(Value::as_str).unwrap_or_default();
        let headers = [
            ("x-fapi-interaction-id", "InteractionId", !open),
            ("Link", "Link", schema.contains("/List_")),
            ("Idempotency-Replayed", "Replayed", repeatable),
            ("Content-Digest", "ContentDigest", changes),
            ("Signature-Input", "SignatureInput", changes),
            ("Signature", "Signature", changes),
        ];
        let headers = headers.into_iter().filter(|(_, _, has)| *has);
        let headers = headers.map(|(name, part, _)| (name.to_owned(), reference("headers", part)));
        response["headers"] = Value::Object(headers.collect());
        response["description"] = json!(match changes {
            true => "Carried out, and durable.",
            false => "What was asked for, as far as the caller's party may see it.",
        });
    }
    operation["responses"]["4XX"] = reference("responses", "Refused");
    operation["responses"]["5XX"] = reference("responses", "Failed");
    let needed = operation["security"].as_array_mut().into_iter().flatten();
    for requirement in needed.filter(|_| !open) {
        requirement["dpop"] = json!([]);
        if changes {
            requirement["signature"] = json!([]);
        }
    }
}

/// Turns the schema of a line into that of a text of such lines. OpenAPI 3.1 has no word for it
/// (3.2 has `itemSchema`), but JSON Schema has: a text, and what it is a list of once it is read.
fn in_lines(schema: &mut Value) {
    let line = schema.take();
    *schema = json!({
        "type": "string",
        "contentMediaType": "application/x-ndjson",
        "contentSchema": { "type": "array", "items": line },
    });
}

/// The schema of a line, if a schema is a text of lines.
pub(super) fn line(schema: &Value) -> Option<&Value> {
    schema["contentSchema"].get("items")
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// What a part is, or what it refers to.
pub(super) fn entry<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    let reference = part["$ref"].as_str().and_then(|at| at.strip_prefix('#'));
    reference
        .and_then(|at| document.pointer(at))
        .unwrap_or(part)
}

/// All calls of a description: path, method and operation.
pub(super) fn calls(document: &Value) -> impl Iterator<Item = (&String, &String, &Value)> {
    members(&document["paths"]).flat_map(|(path, methods)| {
        members(methods).map(move |(method, operation)| (path, method, operation))
    })
}

/// The scope that a call needs, if it needs one.
pub(super) fn scope(operation: &Value) -> Option<&str> {
    operation.pointer("/security/0/oauth/0")?.as_str()
}

/// Name of what a reference leads to.
pub(super) fn last(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// The members of an object; none of anything else.
pub(super) fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

/// The items of a list; none of anything else.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn entries(object: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    object.as_object_mut().into_iter().flatten()
}

/// Lays one object over another: what both have as objects is joined, anything else is replaced.
fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_has_a_name_of_its_own_and_says_what_scope_it_needs() {
        let mut names = BTreeSet::new();
        for (path, method, operation) in calls(&DESCRIPTION) {
            let name = operation["operationId"].to_string();
            assert!(names.insert(name.clone()), "{name} is there twice");
            let body = operation.get("requestBody");
            assert_ne!(body, Some(&Value::Null), "{method} {path}");
            if ["/v1/sandbox", "/v1/signature-check"].contains(&path.as_str()) {
                assert_eq!(operation["security"], json!([{}]), "{method} {path}");
                continue;
            }
            let known = |scope: &str| SCOPES.iter().any(|(known, _)| scope == *known);
            let needed = scope(operation);
            assert!(needed.is_some_and(known), "{method} {path}: {needed:?}");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let mut references = BTreeSet::new();
        collect(&DESCRIPTION, &mut references);
        for reference in references {
            let place = reference
                .strip_prefix('#')
                .and_then(|at| DESCRIPTION.pointer(at));
            assert!(place.is_some(), "{reference}");
        }
    }

    fn collect<'a>(value: &'a Value, references: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                references.extend(members.get("$ref").and_then(Value::as_str));
                members
                    .values()
                    .for_each(|value| collect(value, references));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }
}
