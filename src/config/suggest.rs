//! "Did you mean …?"

use strsim::damerau_levenshtein;

use super::schema;

/// The known name that `path` was most likely meant to be, if any is near.
pub(super) fn suggest(path: &str) -> Option<&'static str> {
    let leaf = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    // `port` outside of its section is more likely `http.port` than any name that looks alike.
    let misplaced = schema::names().find(|name| name.contains('.') && leaf(name) == leaf(path));
    let sections = schema::KEYS.iter().filter_map(|key| key.path.rsplit_once('.')).map(|(section, _)| section);
    let (distance, nearest) =
        schema::names().chain(sections).map(|name| (damerau_levenshtein(name, path), name)).min()?;
    let near = distance <= (path.chars().count() / 4).max(1) && distance < path.chars().count();
    if near && (distance <= 2 || misplaced.is_none()) { Some(nearest) } else { misplaced }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let table = [
            ("http.prot", Some("http.port")),
            ("htpp", Some("http")),
            ("htpp.port", Some("http.port")),
            ("port", Some("http.port")),
            ("nats.reconnecttimewait", Some("nats.reconnect_wait")),
            ("operater", Some("operator")),
            ("store.directory", None),
            ("usercredentials", Some("nats.usercredentials")),
            ("jetstream", None),
            ("x", None),
            ("foo", None),
            ("", None),
        ];
        for (path, wanted) in table {
            assert_eq!(suggest(path), wanted, "{path}");
        }
    }
}
