//! A token for people: what `decode=true` shows, in the layout of version 1 of this server.
//!
//! The text is not JSON: dates follow times, and activation tokens are decoded in place.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::ActivationJwt;
use super::error::DecodeError;
use super::json::{self, Value};
use super::wire::{Chunks, Header, unbase64};
use crate::calendar::utc_date;

/// Why a token cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadableError {
    /// The header.
    #[error("error decoding account claim header: {0}")]
    Header(DecodeError),
    /// The claims.
    #[error("error decoding account claim: {0}")]
    Claims(DecodeError),
}

/// Header and claims with an indentation of four, and the signature as it is. Nothing is verified.
pub fn readable(token: &str) -> Result<String, ReadableError> {
    let chunks = Chunks::split(token).map_err(ReadableError::Claims)?;
    let header = Header::read(chunks.header).map_err(ReadableError::Header)?;
    let payload = unbase64(chunks.payload).map_err(ReadableError::Claims)?;
    let claims = json::parse(&payload).map_err(ReadableError::Claims)?;

    let header = object([("typ", text(&header.typ)), ("alg", text(&header.alg))]);
    let (header, claims) = (Printer::new("").print(&header), Printer::new("").print(&sorted(&claims)));
    let claims = add_dates(&open_tokens(&claims));
    Ok(format!("{header}\n\r\n{claims}\n\r\n{}", chunks.signature))
}

/// Replaces activation tokens by their claims. As in version 1, only a token before a comma is found.
fn open_tokens(claims: &str) -> String {
    each_member(claims, "token", |rest| {
        let (value, after) = rest.strip_prefix('"')?.split_once("\",")?;
        let token = value.rsplit('"').next().unwrap_or(value);
        Some(match ActivationJwt::decode(token) {
            Ok(activation) => format!("{},{after}", Printer::new("                ").print(&claims_of(&activation))),
            Err(error) => format!("<bad token - {error}>,{after}"),
        })
    })
}

/// Adds the date to times, again only before a comma.
fn add_dates(claims: &str) -> String {
    let dated = |rest: &str| {
        let (value, after) = rest.split_once(',')?;
        let seconds = value.parse().ok()?;
        Some(format!("{value} ({}),{after}", utc_date(seconds)))
    };
    each_member(&each_member(claims, "iat", dated), "exp", dated)
}

/// Rewrites the values of all members with this name, at any depth, if `rewrite` returns another text.
fn each_member(claims: &str, name: &str, rewrite: impl Fn(&str) -> Option<String>) -> String {
    let start = format!("\"{name}\": ");
    let rewritten = claims.split('\n').map(|line| {
        let split =
            line.find(&start).filter(|&at| line[..at].trim().is_empty()).map(|at| line.split_at(at + start.len()));
        match split.and_then(|(before, rest)| Some((before, rewrite(rest)?))) {
            Some((before, rest)) => Cow::Owned(format!("{before}{rest}")),
            None => Cow::Borrowed(line),
        }
    });
    rewritten.collect::<Vec<_>>().join("\n")
}

/// An activation in the order of its claims, empty ones left out.
fn claims_of(activation: &ActivationJwt) -> Value<'_> {
    let (claims, body) = (&activation.claims, &activation.body);
    let nats = object([
        ("subject", text(&body.subject)),
        ("kind", Value::String(body.kind.to_string().into())),
        ("issuer_account", text(&body.issuer_account)),
        ("tags", Value::Array(body.common.tags.iter().map(|tag| text(tag)).collect())),
        ("type", text(&body.common.kind)),
        ("version", number(body.common.version)),
    ]);
    object([
        ("aud", text(&claims.aud)),
        ("exp", number(claims.exp)),
        ("jti", text(&claims.jti)),
        ("iat", number(claims.iat)),
        ("iss", text(&claims.iss)),
        ("name", text(&claims.name)),
        ("nbf", number(claims.nbf)),
        ("sub", text(&claims.sub)),
        ("nats", nats),
    ])
}

fn text(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}

fn number(number: i64) -> Value<'static> {
    Value::Number(Cow::Owned(number.to_string()))
}

fn object<'a, const N: usize>(members: [(&'static str, Value<'a>); N]) -> Value<'a> {
    let filled = |value: &Value<'_>| match value {
        Value::String(text) => !text.is_empty(),
        Value::Number(text) => text != "0",
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    let members = members.into_iter().filter(|(name, value)| matches!(*name, "typ" | "alg") || filled(value));
    Value::Object(members.map(|(name, value)| (Cow::Borrowed(name), value)).collect())
}

/// The value with its members in alphabetical order and its numbers as floats print.
fn sorted<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Number(text) => Value::Number(text.parse().map_or_else(|_| text.clone(), |number| float(number).into())),
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(members)
        }
        other => other.clone(),
    }
}

/// A float as Go prints it in JSON: with an exponent if it is very large or very small.
fn float(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

/// Writes JSON with an indentation of four. Every line except the first has a prefix.
struct Printer<'p> {
    prefix: &'p str,
    out: String,
}

impl<'p> Printer<'p> {
    const fn new(prefix: &'p str) -> Self {
        Self { prefix, out: String::new() }
    }

    fn print(mut self, value: &Value<'_>) -> String {
        self.value(value, 0);
        self.out
    }

    fn value(&mut self, value: &Value<'_>, depth: usize) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(set) => self.out.push_str(if *set { "true" } else { "false" }),
            Value::Number(text) => self.out.push_str(text),
            Value::String(text) => self.string(text),
            Value::Array(items) => self.list('[', ']', items, depth, |printer, item| printer.value(item, depth + 1)),
            Value::Object(members) => self.list('{', '}', members, depth, |printer, (name, value)| {
                printer.string(name);
                printer.out.push_str(": ");
                printer.value(value, depth + 1);
            }),
        }
    }

    fn list<T>(&mut self, open: char, close: char, items: &[T], depth: usize, print: impl Fn(&mut Self, &T)) {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.line(depth + 1);
            print(self, item);
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.push_str(self.prefix);
        self.out.extend(std::iter::repeat_n("    ", depth));
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for symbol in text.chars() {
            match symbol {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\0'..=' ' | '\u{2028}' | '\u{2029}' if symbol != ' ' => {
                    // Writing to a string cannot fail.
                    let _ = write!(self.out, "\\u{:04x}", u32::from(symbol));
                }
                other => self.out.push(other),
            }
        }
        self.out.push('"');
    }
}
