//! What a push that missed its route was probably meant for: nsc shows the answer to the person who typed the URL.

use actix_web::HttpRequest;
use actix_web::http::Method;

use super::route::decoded;
use crate::key::AccountKey;

/// The text of an error, and, if the request is a push, a second line that says where account servers are pushed to.
pub(super) fn hinted(text: &str, request: &HttpRequest) -> String {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        return text.to_owned();
    }
    let path = decoded(request.uri().path());
    let target = target(&path);
    format!(
        "{text}\naccount servers are pushed to at /jwt/v1: the URL for nsc ends in /jwt/v1, and a JWT is sent with POST to \
         {target}"
    )
}

/// The route that the path tells.
fn target(path: &str) -> String {
    match path.split('/').find_map(|part| AccountKey::parse(part).ok()) {
        Some(key) => format!("/jwt/v1/accounts/{key}"),
        None if path.split('/').any(|part| part == "activations") => "/jwt/v1/activations".to_owned(),
        None => "/jwt/v1/accounts/ACCOUNT_KEY".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_route_is_told_as_far_as_the_path_tells() {
        let key = AccountKey::from_raw([7; 32]);
        let own = format!("/jwt/v1/accounts/{key}");
        for (path, expected) in [
            (format!("/accounts/{key}"), &*own),
            (format!("/{key}"), &own),
            (format!("/jwt/accounts/{key}"), &own),
            (format!("/jwt/v2/accounts/{key}"), &own),
            (format!("/jwt/v1/accounts/accounts/{key}/"), &own),
            (format!("/jwt/v1/{}", key.text().to_lowercase()), "/jwt/v1/accounts/ACCOUNT_KEY"),
            ("/".to_owned(), "/jwt/v1/accounts/ACCOUNT_KEY"),
            ("/jwt/v1/accounts/".to_owned(), "/jwt/v1/accounts/ACCOUNT_KEY"),
            ("/activations".to_owned(), "/jwt/v1/activations"),
            ("/metrics".to_owned(), "/jwt/v1/accounts/ACCOUNT_KEY"),
        ] {
            let of = |method| hinted("no", &TestRequest::with_uri(&path).method(method).to_http_request());
            assert!(
                of(Method::POST).starts_with("no\n") && of(Method::POST).ends_with(&format!(" to {expected}")),
                "{path}: {}",
                of(Method::POST)
            );
            assert_eq!(of(Method::PUT), of(Method::POST));
            assert_eq!(of(Method::GET), "no", "{path}");
            assert_eq!(of(Method::DELETE), "no", "{path}");
        }
    }
}
