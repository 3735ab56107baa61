//! Where a JWT of each kind goes.

/// The kind of a valid JWT, and where it belongs, for people who gave it elsewhere. `kind` is as claims state it.
pub fn belongs(kind: &str) -> &'static str {
    match kind {
        "account" => {
            "this is an account JWT: push it to /jwt/v1/accounts/<account key>, or put it into the token folder"
        }
        "activation" => {
            "this is an activation JWT: push it to /jwt/v1/activations, or put it into the import of the other account"
        }
        "operator" => "this is an operator JWT: name it in the setting operator, or push it to /jwt/v1/operator",
        "user" => "this is a user JWT: it belongs in a creds file, and is not pushed to an account server",
        _ => "this is a JWT of another kind, which an account server does not store",
    }
}
