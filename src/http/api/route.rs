//! The routes of the API, below `/api/v1/`.

/// A route, with what the path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum ApiRoute<'p> {
    /// `accounts`
    Accounts,
    /// `accounts/<key>`
    Account(&'p str),
    /// `accounts/<key>/versions`
    Versions(&'p str),
    /// `accounts/<key>/versions/<serial>`
    Version(&'p str, &'p str),
    /// `accounts/<key>/diff`
    Diff(&'p str),
    /// `activations`
    Activations,
    /// `operator`
    Operator,
    /// `replicas`
    Replicas,
    /// `servers`
    Servers,
    /// `status`
    Status,
    /// `check`
    Check,
    /// `audit`
    Audit,
    /// `openapi.json`
    OpenApi,
}

impl<'p> ApiRoute<'p> {
    /// The route of a path. `None`: it leads nowhere.
    pub(in crate::http) fn of(path: &'p str) -> Option<Self> {
        let mut parts = path.strip_prefix("/api/v1/")?.split('/');
        let found = [parts.next(), parts.next(), parts.next(), parts.next()];
        if parts.next().is_some() || found.contains(&Some("")) {
            return None;
        }
        Some(match found {
            [Some("accounts"), None, ..] => Self::Accounts,
            [Some("accounts"), Some(key), None, _] => Self::Account(key),
            [Some("accounts"), Some(key), Some("versions"), None] => Self::Versions(key),
            [Some("accounts"), Some(key), Some("versions"), Some(serial)] => Self::Version(key, serial),
            [Some("accounts"), Some(key), Some("diff"), None] => Self::Diff(key),
            [Some("activations"), None, ..] => Self::Activations,
            [Some("operator"), None, ..] => Self::Operator,
            [Some("replicas"), None, ..] => Self::Replicas,
            [Some("servers"), None, ..] => Self::Servers,
            [Some("status"), None, ..] => Self::Status,
            [Some("check"), None, ..] => Self::Check,
            [Some("audit"), None, ..] => Self::Audit,
            [Some("openapi.json"), None, ..] => Self::OpenApi,
            _ => return None,
        })
    }

    /// The label in metrics.
    pub(in crate::http) const fn label(self) -> &'static str {
        match self {
            Self::Accounts => "api_accounts",
            Self::Account(_) => "api_account",
            Self::Versions(_) | Self::Version(..) | Self::Diff(_) => "api_versions",
            Self::Activations => "api_activations",
            Self::Operator => "api_operator",
            Self::Replicas => "api_replicas",
            Self::Servers => "servers",
            Self::Status => "api_status",
            Self::Check => "api_check",
            Self::Audit => "api_audit",
            Self::OpenApi => "api_openapi",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_routes() {
        for (path, route) in [
            ("accounts", Some(ApiRoute::Accounts)),
            ("accounts/AB", Some(ApiRoute::Account("AB"))),
            ("accounts/AB/versions", Some(ApiRoute::Versions("AB"))),
            ("accounts/AB/versions/7", Some(ApiRoute::Version("AB", "7"))),
            ("accounts/AB/diff", Some(ApiRoute::Diff("AB"))),
            ("activations", Some(ApiRoute::Activations)),
            ("operator", Some(ApiRoute::Operator)),
            ("replicas", Some(ApiRoute::Replicas)),
            ("servers", Some(ApiRoute::Servers)),
            ("status", Some(ApiRoute::Status)),
            ("check", Some(ApiRoute::Check)),
            ("audit", Some(ApiRoute::Audit)),
            ("openapi.json", Some(ApiRoute::OpenApi)),
            ("", None),
            ("accounts/", None),
            ("accounts//versions", None),
            ("accounts/AB/", None),
            ("accounts/AB/x", None),
            ("accounts/AB/diff/x", None),
            ("accounts/AB/versions/7/8", None),
            ("status/x", None),
        ] {
            assert_eq!(ApiRoute::of(&format!("/api/v1/{path}")), route, "{path}");
        }
        assert_eq!(ApiRoute::of("/jwt/v1/accounts"), None);
    }
}
