//! Which methods a route allows, where it allows more than reading, or that depends on whether changes get anywhere from here.

/// What a route allows whose POST changes no account: digests, where it is a question, and followers.
pub(super) const ASKED: &str = "GET, HEAD, POST, OPTIONS";

/// What the route of an account allows.
pub(super) const fn account(writes: bool) -> &'static str {
    if writes { "GET, HEAD, POST, DELETE, OPTIONS" } else { "GET, HEAD, OPTIONS" }
}

/// What the route of the operator allows.
pub(super) const fn operator(writes: bool) -> &'static str {
    if writes { "GET, HEAD, POST, OPTIONS" } else { "GET, HEAD, OPTIONS" }
}

/// What the route of pushed activations allows.
pub(super) const fn activations(writes: bool) -> &'static str {
    if writes { "POST, OPTIONS" } else { "OPTIONS" }
}
