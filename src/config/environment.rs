//! Settings in environment variables: `NAS_HTTP__PORT` is `http.port`.

use super::given::GivenText;

/// The prefix of all variables of this program.
const PREFIX: &str = "NAS_";

/// How the origin of such a setting starts; the variable's name follows.
pub(super) const ORIGIN: &str = "environment variable ";

/// The variable of a path.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// Reads the settings from an environment. An empty variable counts as not set, because compose files and charts pass
/// on unset variables.
pub(super) fn read(variables: impl IntoIterator<Item = (String, String)>) -> Vec<GivenText> {
    let mut found: Vec<GivenText> = variables
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| {
            let path = name.strip_prefix(PREFIX)?.replace("__", ".").to_lowercase();
            Some(GivenText::text(&path, &value, &format!("{ORIGIN}{name}")))
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
