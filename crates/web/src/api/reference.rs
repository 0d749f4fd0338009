//! The description of the API as a page, for whoever reads rather than generates: `/docs`.

use std::sync::LazyLock;

use askama::Template;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use serde_json::{Value, json};

use super::openapi::{DESCRIPTION, calls, entry, items, last, line, members, scope};
use crate::assets::ASSETS;
use crate::problem::{KINDS, Kind};

/// What the page may load: its style sheet and its mark.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Answers with the page.
pub(crate) async fn show() -> impl IntoResponse {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        let page = Reference::of(&DESCRIPTION);
        page.render().expect("writing to memory does not fail")
    });
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(&**PAGE))
}

#[derive(Template)]
#[template(path = "reference.html")]
struct Reference {
    style: &'static str,
    mark: &'static str,
    tags: Vec<Tag>,
    objects: Vec<Object>,
    kinds: &'static [Kind],
}

/// Calls that belong together.
struct Tag {
    id: String,
    name: String,
    about: Words,
    calls: Vec<Call>,
}

struct Call {
    id: String,
    name: String,
    method: String,
    path: String,
    about: Words,
    scope: Option<String>,
    leaves: Option<String>,
    parameters: Vec<Row>,
    body: Option<Body>,
    answers: Vec<(String, Body)>,
}

/// What is sent or comes back.
struct Body {
    kind: String,
    shape: Shape,
    example: String,
}

/// A type of the description.
struct Object {
    name: String,
    about: Words,
    shape: String,
    rows: Vec<Row>,
}

/// A parameter or a property.
struct Row {
    name: String,
    shape: Shape,
    needed: bool,
    about: Words,
}

/// What a value looks like, and the object that says more.
struct Shape {
    text: String,
    object: Option<String>,
}

/// Text, of which every second part is code.
struct Words(Vec<String>);

impl Words {
    fn of(text: &Value) -> Words {
        let text = text.as_str().unwrap_or_default();
        Words(text.split('`').map(str::to_owned).collect())
    }
}

impl Reference {
    fn of(document: &Value) -> Reference {
        let tagged = |tag: &Value| {
            let calls = calls(document).filter(|(.., operation)| operation["tags"][0] == *tag);
            calls
                .map(|(path, method, operation)| Call::of(document, path, method, operation))
                .collect()
        };
        let tag = |tag: &Value| Tag {
            name: in_words(&text(&tag["name"])),
            id: text(&tag["name"]),
            about: Words::of(&tag["description"]),
            calls: tagged(&tag["name"]),
        };
        let schemas = members(&document["components"]["schemas"]);
        Reference {
            style: &ASSETS.style.path,
            mark: &ASSETS.mark.path,
            tags: items(&document["tags"]).map(tag).collect(),
            objects: schemas
                .filter(|(name, _)| !name.starts_with("List_"))
                .map(|(name, schema)| Object::of(name, schema))
                .collect(),
            kinds: KINDS,
        }
    }
}

impl Call {
    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> Call {
        let id = text(&operation["operationId"]);
        // Fields are the same for all calls, and what is in the path shows there.
        let query = items(&operation["parameters"]).filter(|parameter| parameter["in"] == "query");
        let parameters = query.map(|parameter| Row {
            name: text(&parameter["name"]),
            shape: Shape::of(&parameter["schema"]),
            needed: parameter["required"] == json!(true),
            about: Words::of(&parameter["description"]),
        });
        let body = |holder: &Value| {
            let (kind, content) = members(&holder["content"]).next()?;
            let schema = &content["schema"];
            let (shape, example) = match line(schema) {
                Some(line) => (
                    Shape {
                        text: format!("lines of {}", shape(line)),
                        ..Shape::of(line)
                    },
                    example(document, line, 0).to_string(),
                ),
                None => (
                    Shape::of(schema),
                    format!("{:#}", example(document, schema, 0)),
                ),
            };
            Some(Body {
                kind: kind.clone(),
                shape,
                example,
            })
        };
        let answers = members(&operation["responses"]);
        let answers = answers.filter_map(|(status, answer)| Some((status.clone(), body(answer)?)));
        Call {
            name: in_words(&id),
            id,
            method: method.to_uppercase(),
            path: path.to_owned(),
            about: Words::of(&operation["summary"]),
            scope: scope(operation).map(str::to_owned),
            leaves: operation["x-sunset"].as_str().map(str::to_owned),
            parameters: parameters.collect(),
            body: body(&operation["requestBody"]),
            answers: answers.collect(),
        }
    }
}

impl Object {
    fn of(name: &str, schema: &Value) -> Object {
        let needed: Vec<_> = items(&schema["required"]).collect();
        let rows = members(&schema["properties"]).map(|(name, schema)| Row {
            name: name.clone(),
            shape: Shape::of(schema),
            needed: needed.contains(&&json!(name)),
            about: match &schema["description"] {
                // One that refers and may be missing has its words beside the reference.
                Value::Null => Words::of(&schema["oneOf"][0]["description"]),
                about => Words::of(about),
            },
        });
        Object {
            name: name.to_owned(),
            about: Words::of(&schema["description"]),
            rows: rows.collect(),
            shape: shape(schema),
        }
    }
}

impl Shape {
    fn of(schema: &Value) -> Shape {
        let text = shape(schema);
        let object = referred(schema).map(|name| match name.strip_prefix("List_") {
            Some(item) => item.to_owned(),
            None => name.to_owned(),
        });
        Shape { text, object }
    }
}

/// Name of the first object that a schema refers to.
fn referred(schema: &Value) -> Option<&str> {
    if let Some(reference) = schema["$ref"].as_str() {
        return Some(last(reference));
    }
    let parts = ["items", "additionalProperties"];
    let parts = parts.into_iter().filter_map(|part| schema.get(part));
    parts.chain(items(&schema["oneOf"])).find_map(referred)
}

/// A schema in a few words.
pub(super) fn shape(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = last(reference);
        return match name.strip_prefix("List_") {
            Some(item) => format!("page of {item}"),
            None => name.to_owned(),
        };
    }
    for several in ["oneOf", "anyOf"] {
        let shapes: Vec<_> = items(&schema[several]).map(shape).collect();
        if !shapes.is_empty() {
            return shapes.join(" or ");
        }
    }
    let mut kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(kind) => kind.clone(),
        _ => "anything".to_owned(),
    };
    if kind == "array" {
        kind = format!("list of {}", shape(&schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        kind = format!("{} by name", shape(&schema["additionalProperties"]));
    }
    let bounds = [
        "format",
        "pattern",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
    ];
    let bounds = bounds.iter().filter(|bound| !schema[**bound].is_null());
    let bounds = bounds.map(|bound| match &schema[*bound] {
        Value::String(value) => format!("{bound} {value}"),
        value => format!("{bound} {value}"),
    });
    let bounds: Vec<_> = bounds.collect();
    match bounds.is_empty() {
        true => kind,
        false => format!("{kind}, {}", bounds.join(", ")),
    }
}

/// A value as a schema wants it; schemas that go round end at some depth.
fn example(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = entry(document, schema);
    if !schema["example"].is_null() || depth > 6 {
        return schema["example"].clone();
    }
    if let Some(first) = items(&schema["enum"])
        .next()
        .or(items(&schema["examples"]).next())
    {
        return first.clone();
    }
    if let Some(first) = items(&schema["oneOf"]).next() {
        return example(document, first, depth + 1);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => text(&kinds[0]),
        kind => text(kind),
    };
    match kind.as_str() {
        "object" if schema["additionalProperties"].is_object() => {
            json!({ "name": example(document, &schema["additionalProperties"], depth + 1) })
        }
        "object" => {
            let properties = members(&schema["properties"]);
            let values = properties
                .map(|(name, schema)| (name.clone(), example(document, schema, depth + 1)));
            Value::Object(values.collect())
        }
        "array" => json!([example(document, &schema["items"], depth + 1)]),
        "integer" => schema["minimum"].as_i64().unwrap_or_default().max(1).into(),
        "boolean" => true.into(),
        _ => match schema["format"].as_str() {
            Some("date") => "2026-01-31".into(),
            Some("date-time") => "2026-01-31T08:00:00Z".into(),
            Some("uri") => "https://example.com/".into(),
            _ => "…".into(),
        },
    }
}

/// `submitApplication` is "Submit application".
fn in_words(id: &str) -> String {
    let mut words = String::with_capacity(id.len() + 4);
    for letter in id.chars() {
        match letter {
            _ if words.is_empty() => words.extend(letter.to_uppercase()),
            'A'..='Z' => words.extend([' ', letter.to_ascii_lowercase()]),
            _ => words.push(letter),
        }
    }
    words
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_and_object_is_on_the_page_and_every_link_leads_somewhere() {
        let page = Reference::of(&DESCRIPTION).render().expect("it renders");
        for (path, method, operation) in calls(&DESCRIPTION) {
            let id = text(&operation["operationId"]);
            let shown = format!("<article id=\"{id}\">");
            assert!(page.contains(&shown), "{method} {path}");
        }
        let links = page.split("href=\"#").skip(1);
        let ids: Vec<_> = links.filter_map(|link| link.split('"').next()).collect();
        assert!(ids.contains(&"Money"), "{ids:?}");
        for id in ids {
            assert!(page.contains(&format!("id=\"{id}\"")), "#{id}");
        }
        assert!(page.contains("<code>idempotency_key_reused</code>"));
        for line in ["ApplicationRequest", "PaymentRequest", "LineResult"] {
            let shown = format!("<a href=\"#{line}\">lines of {line}</a>");
            assert!(page.contains(&shown), "{line}");
        }
    }

    #[test]
    fn an_example_is_what_its_schema_says() {
        let of = |name: &str| {
            let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
            example(&DESCRIPTION, &schema, 0)
        };
        assert_eq!(of("Money"), json!({ "amount": 123450, "currency": "CNY" }));
        let request: super::super::shape::ApplicationRequest =
            serde_json::from_value(of("ApplicationRequest")).expect("it can be sent");
        assert_eq!(request.reference, "A-2024-000123");
        assert_eq!(of("CloseRequest"), json!({ "day": "2024-03-15" }));
    }
}
