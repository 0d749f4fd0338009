//! `/v1` only grows. What it promises stands line by line in `docs/spec/api-v1.txt`, and no line of
//! it goes: a caller that was written against it once is never broken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::openapi::{DESCRIPTION, calls, entry, items, last, line, members, scope};
use super::reference::shape;

#[test]
fn what_was_promised_is_still_kept() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/api-v1.txt");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let now = promises(&DESCRIPTION);
    let broken = broken(&written, &now);
    assert!(
        broken.is_empty(),
        "{} has what the API does not keep any more:\n{}\nCallers rely on it. Keep it beside what \
         is new; if it only loosens what is asked for, change the line by hand",
        path.display(),
        broken.join("\n")
    );
    let all = format!("{HEAD}{}", now.into_iter().collect::<String>());
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        std::fs::write(&path, &all).expect("the repository can be written");
    } else {
        assert_eq!(all, written, "new promises are added with TANDEM_UPDATE=1");
    }
}

const HEAD: &str = "\
# What /v1 promises, one line each; lines are added and never taken away (crates/web/src/api/contract.rs).
# `always`: an answer has it. `needs`: a request must have these and no others.
";

/// What was written down and does not hold any more.
fn broken<'a>(written: &'a str, now: &BTreeSet<String>) -> Vec<&'a str> {
    let written = written.split_inclusive('\n');
    written
        .filter(|line| !line.starts_with('#') && !now.contains(*line))
        .collect()
}

/// All that a caller can rely on, a line each.
fn promises(document: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for (path, method, operation) in calls(document) {
        let call = format!("{} {path}", method.to_uppercase());
        let scope = scope(operation).unwrap_or("none");
        let name = operation["operationId"].as_str().expect("a call's name");
        lines.insert(format!("{call} {name}, scope {scope}\n"));
        for parameter in items(&operation["parameters"]) {
            let parameter = entry(document, parameter);
            let (place, name) = (&parameter["in"], &parameter["name"]);
            let needed = match parameter["required"] == json!(true) {
                true => ", needed",
                false => "",
            };
            let (place, name) = (text(place), text(name));
            let shape = shape(&parameter["schema"]);
            lines.insert(format!("{call} {place} {name}: {shape}{needed}\n"));
        }
        for (kind, body) in members(&operation["requestBody"]["content"]) {
            lines.insert(format!("{call} takes {kind}: {}\n", shape(&body["schema"])));
            let line = line(&body["schema"]).map(shape);
            lines.extend(line.map(|line| format!("{call} takes lines of {line}\n")));
            reach(document, &body["schema"], &mut asked);
        }
        for (status, response) in members(&operation["responses"]) {
            lines.insert(format!("{call} answers {status}\n"));
            for (kind, body) in members(&response["content"]) {
                let shape = shape(&body["schema"]);
                lines.insert(format!("{call} answers {status} {kind}: {shape}\n"));
                let line = line(&body["schema"]).map(super::reference::shape);
                lines.extend(line.map(|line| format!("{call} answers {status} lines of {line}\n")));
                reach(document, &body["schema"], &mut answered);
            }
        }
    }
    for name in ["Problem", "Event"] {
        let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
        reach(document, &reference, &mut answered);
    }
    for name in asked.union(&answered) {
        let schema = &document["components"]["schemas"][name.as_str()];
        let required: Vec<_> = items(&schema["required"]).map(text).collect();
        if asked.contains(name) && schema["type"] == json!("object") {
            lines.insert(format!("{name} needs {}\n", required.join(", ")));
        }
        let properties: BTreeMap<_, _> = members(&schema["properties"]).collect();
        if properties.is_empty() {
            lines.insert(format!("{name}: {}\n", shape(schema)));
        }
        for (property, schema) in properties {
            let always = answered.contains(name) && required.contains(&property.as_str());
            let always = if always { ", always" } else { "" };
            lines.insert(format!("{name}.{property}: {}{always}\n", shape(schema)));
        }
    }
    lines
}

/// Collects the names of the schemas that a schema is made of.
fn reach(document: &Value, schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(name) = members.get("$ref").and_then(Value::as_str) {
                let name = last(name);
                if found.insert(name.to_owned()) {
                    reach(document, &document["components"]["schemas"][name], found);
                }
            }
            members
                .values()
                .for_each(|value| reach(document, value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| reach(document, item, found)),
        _ => {}
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn what_breaks_a_caller_is_found_and_what_does_not_is_not() {
    let written: String = promises(&DESCRIPTION).into_iter().collect();
    let change = |pointer: &str, change: fn(&mut Value)| {
        let mut document = DESCRIPTION.clone();
        change(document.pointer_mut(pointer).expect("it is there"));
        let now = promises(&document);
        broken(&written, &now).concat()
    };
    let application = "/components/schemas/Application";
    let request = "/components/schemas/ApplicationRequest";
    let submit = "/paths/~1v1~1agreements~1{agreement}~1applications/post";
    assert_eq!(
        change(application, |schema| {
            schema["properties"]
                .as_object_mut()
                .expect("object")
                .remove("state");
        }),
        "Application.state: string, always\n"
    );
    assert_eq!(
        change(request, |schema| {
            schema["properties"]["scene"] = json!({"type": "string"});
            schema["required"]
                .as_array_mut()
                .expect("list")
                .push(json!("scene"));
        }),
        "ApplicationRequest needs reference, amount, term_months, region\n"
    );
    assert_eq!(
        change(submit, |call| call["responses"] = json!({})),
        "POST /v1/agreements/{agreement}/applications answers 201\n\
         POST /v1/agreements/{agreement}/applications answers 201 application/json: Application\n\
         POST /v1/agreements/{agreement}/applications answers 4XX\n\
         POST /v1/agreements/{agreement}/applications answers 5XX\n"
    );
    assert_eq!(
        change(request, |schema| schema["properties"]["scene"] =
            json!({"type": "string"})),
        ""
    );
}
