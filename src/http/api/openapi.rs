//! `GET /api/v1/openapi.json`: the API for programs that make clients of it. The schemas are those of the types that the
//! answers are made from.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::super::Shared;
use super::super::problem::Problem;
use super::activations::ActivationList;
use super::ask::Ask;
use super::audit::AuditTail;
use super::check::CheckReport;
use super::given::Given;
use super::operator::OperatorStatus;
use super::refused::Refused;
use super::shown;
use super::status::ServerStatus;
use crate::api::{AccountList, AccountPage, VersionDiff, VersionList, VersionPage};
use crate::feed::wire::FollowersPage;
use crate::node::FleetReport;

/// What the answers are made from.
#[derive(OpenApi)]
#[openapi(components(schemas(
    AccountList,
    AccountPage,
    VersionList,
    VersionPage,
    VersionDiff,
    ActivationList,
    OperatorStatus,
    FollowersPage,
    FleetReport,
    ServerStatus,
    CheckReport,
    AuditTail,
    Problem
)))]
struct Schemas;

/// A parameter of a query: its name, what its value is, and what it does.
type Parameter = (&'static str, Given, &'static str);

/// A route.
struct Described {
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    /// What is posted to it, in words; empty: it is read with GET.
    posted: &'static str,
    /// The schema of the answer; empty: any object.
    answer: &'static str,
    /// Whether the answer has an entity tag.
    is_tagged: bool,
}

const LIMIT: Parameter = ("limit", Given::Limit, "items of a page: 1 to 1000, by default 100");
const CURSOR: Parameter = ("cursor", Given::Cursor, "the member next of the page before");

const ROUTES: [Described; 13] = [
    Described {
        path: "/accounts",
        summary: "Accounts in the order of their keys. A page is read in a bounded time: it may be short and still have a next one",
        parameters: &[
            LIMIT,
            CURSOR,
            (
                "name",
                Given::Pattern,
                "a pattern of the whole name, with * and ?, in either case; or the key of an account",
            ),
            (
                "state",
                Given::States,
                "states, with commas between them: live, expired, withheld, deleted, removed; by default the first three",
            ),
            ("expires_before", Given::Moment, "a moment (RFC 3339 or unix seconds), or a time from now such as 30d"),
            ("changed_since", Given::Moment, "a moment (RFC 3339 or unix seconds), or a time ago such as 12h"),
        ],
        posted: "",
        answer: "AccountList",
        is_tagged: false,
    },
    Described {
        path: "/accounts/{key}",
        summary: "All that is known of an account",
        parameters: &[],
        posted: "",
        answer: "AccountPage",
        is_tagged: true,
    },
    Described {
        path: "/accounts/{key}/versions",
        summary: "The stored versions of an account, newest first",
        parameters: &[LIMIT, CURSOR],
        posted: "",
        answer: "VersionList",
        is_tagged: true,
    },
    Described {
        path: "/accounts/{key}/versions/{serial}",
        summary: "A version of an account with its text",
        parameters: &[],
        posted: "",
        answer: "VersionPage",
        is_tagged: true,
    },
    Described {
        path: "/accounts/{key}/diff",
        summary: "What differs between two versions of an account, claim by claim and in words",
        parameters: &[
            ("from", Given::Serial, "the serial of the earlier version; by default the version before the later one"),
            ("to", Given::Serial, "the serial of the later version; by default the newest one"),
        ],
        posted: "",
        answer: "VersionDiff",
        is_tagged: true,
    },
    Described {
        path: "/activations",
        summary: "The activations that an account issued, in the order of their hashes",
        parameters: &[("account", Given::Key, "the key of the account; required"), LIMIT, CURSOR],
        posted: "",
        answer: "ActivationList",
        is_tagged: false,
    },
    Described {
        path: "/operator",
        summary: "The operator JWT in force, its chain, and withdrawn keys",
        parameters: &[],
        posted: "",
        answer: "OperatorStatus",
        is_tagged: true,
    },
    Described {
        path: "/replicas",
        summary: "The replicas that follow this server",
        parameters: &[],
        posted: "",
        answer: "FollowersPage",
        is_tagged: false,
    },
    Described {
        path: "/servers",
        summary: "What each nats-server runs, compared with what is stored: on the primary",
        parameters: &[],
        posted: "",
        answer: "FleetReport",
        is_tagged: false,
    },
    Described {
        path: "/status",
        summary: "How this server is",
        parameters: &[],
        posted: "",
        answer: "ServerStatus",
        is_tagged: false,
    },
    Described {
        path: "/check",
        summary: "What would become of a JWT or delete request if it were pushed, and what that would mean for imports. \
                  Nothing is stored",
        parameters: &[],
        posted: "an account JWT, an activation JWT or a delete request, bare or in a block of nsc; at most 1 MiB",
        answer: "CheckReport",
        is_tagged: false,
    },
    Described {
        path: "/audit",
        summary: "The last lines of the audit log, newest first, from its current file: on the primary",
        parameters: &[
            LIMIT,
            CURSOR,
            ("account", Given::Key, "the key of an account: only lines about it"),
            ("outcome", Given::Outcome, "only lines with this outcome"),
            ("since", Given::Moment, "a moment (RFC 3339 or unix seconds), or a time ago such as 12h"),
        ],
        posted: "",
        answer: "AuditTail",
        is_tagged: false,
    },
    Described {
        path: "/openapi.json",
        summary: "This document",
        parameters: &[],
        posted: "",
        answer: "",
        is_tagged: true,
    },
];

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let paths: Map<String, Value> = ROUTES.iter().map(|route| (route.path.to_owned(), route.described())).collect();
    let mut components = serde_json::to_value(Schemas::openapi().components).unwrap_or_default();
    components["securitySchemes"] = json!({
        "basic": { "type": "http", "scheme": "basic", "description": "a user of access.users with the scope list" },
        "bearer": { "type": "http", "scheme": "bearer", "description": "a token of access.tokens with the scope list" },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "nats-account-server",
            "description": "The API that reads. Times in claims (iat, exp) are unix seconds, times of the server unix milliseconds.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/api/v1" }],
        // Nothing is needed unless the server's settings say so.
        "security": [{}, { "basic": [] }, { "bearer": [] }],
        "paths": paths,
        "components": components,
    })
});

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> Result<HttpResponse, Refused> {
    Ask::of(request, &[])?;
    Ok(shown::tagged(request, shared, &*DOCUMENT).await)
}

impl Described {
    fn described(&self) -> Value {
        let parameter = |place: &str, name: &str, schema: Value, description: &str, is_required: bool| {
            json!({
                "name": name, "in": place, "required": is_required, "description": description, "schema": schema,
            })
        };
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = in_path
            .map(|name| {
                let (of, text) =
                    if name == "key" { ("string", "the key of the account") } else { ("integer", "the serial") };
                parameter("path", name, json!({ "type": of }), text, true)
            })
            .chain(self.parameters.iter().map(|(name, given, text)| {
                parameter("query", name, given.schema(), text, text.ends_with("; required"))
            }))
            .collect();
        let schema = match self.answer {
            "" => json!({ "type": "object" }),
            name => json!({ "$ref": format!("#/components/schemas/{name}") }),
        };
        let problem = json!({ "$ref": "#/components/schemas/Problem" });
        let mut responses = json!({
            "200": { "description": "the answer", "content": { "application/json": { "schema": schema } } },
            "401": {
                "description": "the server wants credentials, or they are wrong",
                "headers": { "WWW-Authenticate": { "schema": { "type": "string" }, "required": true } },
                "content": { "application/problem+json": { "schema": problem } },
            },
            "403": {
                "description": "the credentials lack the scope list",
                "content": { "application/problem+json": { "schema": problem } },
            },
            "default": { "description": "a problem", "content": { "application/problem+json": { "schema": problem } } },
        });
        if self.is_tagged {
            responses["304"] = json!({ "description": "it is what the client has, as If-None-Match says" });
        }
        let mut operation = json!({ "summary": self.summary, "parameters": parameters, "responses": responses });
        if self.posted.is_empty() {
            return json!({ "get": operation });
        }
        // Whatever is in it: what is no JWT has a verdict as well.
        let text = json!({ "schema": { "type": "string", "pattern": "[0-9A-Za-z]" } });
        operation["requestBody"] = json!({
            "required": true, "description": self.posted,
            "content": { "application/jwt": text, "text/plain": text },
        });
        json!({ "post": operation })
    }
}
