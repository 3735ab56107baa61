//! The parameters of a request, read strictly: one that is unknown, given twice or unreadable is an error, because a client
//! would take the answer for what it asked for.

use actix_web::HttpRequest;
use actix_web::web::Query;

use super::refused::Refused;
use crate::api::{self, Cursor, Direction};
use crate::excerpt::excerpt;

/// Items of a page, unless the client says otherwise, and at most.
pub(super) const LIMIT: usize = 100;
pub(super) const MOST: usize = 1000;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Ask(Vec<(String, String)>);

impl Ask {
    /// Reads the query of a request to a route that knows these parameters.
    pub(super) fn of(request: &HttpRequest, known: &[&str]) -> Result<Self, Refused> {
        let query = request.uri().query().unwrap_or_default();
        let given = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|_| Refused::parameters("the query of the URL cannot be decoded"))?
            .into_inner();
        for (place, (name, _)) in given.iter().enumerate() {
            if !known.contains(&&**name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name = excerpt(name).to_string();
                return Err(Refused::parameters(format!(
                    "there is no parameter {name:?}\nthe parameters of this route are: {known}"
                )));
            }
            if given[..place].iter().any(|(before, _)| before == name) {
                return Err(Refused::parameters(format!("the parameter {name} is given twice\nonce is expected")));
            }
        }
        Ok(Self(given))
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// How many items a page may have.
    pub(super) fn limit(&self) -> Result<usize, Refused> {
        let Some(text) = self.get("limit") else { return Ok(LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
        limit.ok_or_else(|| Refused::parameter("limit", text, "a number from 1 to 1000"))
    }

    /// After which item a page begins; `None`: at the beginning.
    pub(super) fn cursor(&self, of: Cursor) -> Result<Option<[u8; 32]>, Refused> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let item = of.item(text);
        item.map(Some).ok_or_else(|| Refused::parameter("cursor", text, "the member next of a page of this list"))
    }

    /// A serial.
    pub(super) fn serial(&self, name: &str) -> Result<Option<u64>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let serial = text.parse().ok().filter(|serial| *serial > 0);
        serial.map(Some).ok_or_else(|| Refused::parameter(name, text, "the serial of a version"))
    }

    /// A moment, unix seconds; `now` likewise.
    pub(super) fn moment(&self, name: &str, direction: Direction, now: i64) -> Result<Option<i64>, Refused> {
        let Some(text) = self.get(name) else { return Ok(None) };
        api::moment(text, direction, now).map(Some).ok_or_else(|| Refused::parameter(name, text, api::MOMENT))
    }
}
