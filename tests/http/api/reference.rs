//! `docs/api-reference.md` is the OpenAPI document for people. `UPDATE_DOCS=true cargo test --test http reference` writes it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::openapi::Document;
use crate::support::{Operator, Server};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api-reference.md");

#[tokio::test]
async fn the_reference_is_the_openapi_document() {
    let server = Server::primary(&Operator::new()).await;
    let page = rendered(&Document::of(&server.http).await.0);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/api-reference.md is not up to date: run UPDATE_DOCS=true cargo test --test http reference"
    );
}

fn rendered(document: &Value) -> String {
    let mut page =
        "# API reference\n\nThis page is made from `/api/v1/openapi.json`, and lists every route and every member of \
                    its answers. [api.md](api.md) explains them with examples.\n\n## Routes\n"
            .to_owned();
    for (path, methods) in members(&document["paths"]) {
        for (method, route) in members(methods) {
            let method = method.to_uppercase();
            write!(page, "\n### {method} /api/v1{path}\n\n{}.\n", text(&route["summary"])).unwrap();
            let parameters = route["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            table(&mut page, ["parameter", "in", "type", "meaning"], parameters, |parameter| {
                let type_ = type_of(&parameter["schema"]);
                [code(&parameter["name"]), text(&parameter["in"]), type_, text(&parameter["description"])]
            });
            let mut answers: Vec<_> = members(&route["responses"]).collect();
            // The numbers come before what is said of the others.
            answers.sort_by_key(|(status, _)| *status);
            table(&mut page, ["status", "body", "", ""], &answers, |(status, answer)| {
                let bodies =
                    members(&answer["content"]).map(|(media, body)| format!("`{media}`: {}", type_of(&body["schema"])));
                let status = if *status == "default" { "any other" } else { status };
                [status.to_owned(), bodies.collect::<Vec<_>>().join(", "), String::new(), String::new()]
            });
        }
    }
    page.push_str("\n## Members\n\nA member that is not marked as always there can be missing.\n");
    for (name, schema) in members(&document["components"]["schemas"]) {
        write!(page, "\n### {name}\n\n{}\n", text(&schema["description"])).unwrap();
        let parts = schema["allOf"].as_array().map_or(std::slice::from_ref(schema), Vec::as_slice);
        for part in parts {
            if part.get("$ref").is_some() {
                write!(page, "\nIt has the members of {}, and these:\n", type_of(part)).unwrap();
            }
            let required = part["required"].as_array().map_or(&[][..], Vec::as_slice);
            let found: Vec<_> = members(&part["properties"]).collect();
            table(&mut page, ["member", "type", "always", "meaning"], &found, |(name, member)| {
                let always = if required.iter().any(|required| required == *name) { "yes" } else { "" };
                [format!("`{name}`"), type_of(member), always.to_owned(), meaning(member)]
            });
        }
    }
    page
}

/// Columns without a title are left out.
fn table<T>(page: &mut String, titles: [&str; 4], rows: &[T], cells: impl Fn(&T) -> [String; 4]) {
    let count = titles.iter().filter(|title| !title.is_empty()).count();
    if rows.is_empty() {
        return;
    }
    write!(page, "\n| {} |\n|{}\n", titles[..count].join(" | "), "---|".repeat(count)).unwrap();
    for row in rows {
        writeln!(page, "| {} |", cells(row)[..count].join(" | ").replace('\n', " ")).unwrap();
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What is said of a member, also where it is a type of its own or nothing.
fn meaning(schema: &Value) -> String {
    let parts = schema["oneOf"].as_array().into_iter().flatten();
    std::iter::once(schema)
        .chain(parts)
        .map(|part| text(&part["description"]))
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

fn code(value: &Value) -> String {
    format!("`{}`", text(value))
}

fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let either = |types: Vec<String>| types.join(" or ");
    if let Some(all) = schema["oneOf"].as_array().or_else(|| schema["allOf"].as_array()) {
        return either(all.iter().map(type_of).collect());
    }
    let named = |name: &Value| match name.as_str() {
        Some("array") => format!("list of {}", type_of(&schema["items"])),
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    };
    match &schema["type"] {
        Value::Array(names) => either(names.iter().map(named).collect()),
        name => named(name),
    }
}
