//! Query parameters.

use actix_web::HttpRequest;
use actix_web::web::Query;

/// The decoded parameters of a request, in order.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query. A query that cannot be decoded has no parameters.
    pub(super) fn of(request: &HttpRequest) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(Query::<Vec<(String, String)>>::from_query(query).map(Query::into_inner).unwrap_or_default())
    }

    /// The first value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on: its value is `true` in any case, and nothing else.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether a parameter is given, with any value or none.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}
