//! Query parameters.

use std::time::Duration;

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

/// Reads `25s`, `500ms`, or a number of seconds.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number = number.parse().ok()?;
    match unit {
        "" | "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_with_their_units() {
        assert_eq!(duration("25s"), Some(Duration::from_secs(25)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("3"), Some(Duration::from_secs(3)));
        for bad in ["", "s", "5h", "-1s", "1.5s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
