//! Answers of the API: JSON whose memory is bounded, with an entity tag where asking again makes sense.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::super::peer::Client;
use super::super::{Shared, caching, outgoing};

/// An answer that is outdated as soon as it is given.
pub(super) async fn momentary(request: &HttpRequest, shared: &Shared, answer: &impl Serialize) -> HttpResponse {
    outgoing::json(request, shared, Client::of(request, shared), answer).await
}

/// An answer that clients may keep, if they ask whether it is still the same. The tag is made from what is shown.
pub(super) async fn tagged(request: &HttpRequest, shared: &Shared, answer: &impl Serialize) -> HttpResponse {
    // Plain structs of strings and numbers always have a JSON form.
    let body = Bytes::from(serde_json::to_vec(answer).unwrap_or_default());
    let tag = format!("\"{}\"", data_encoding::HEXLOWER.encode(&Sha256::digest(&body)[..16]));
    let is_known = caching::none_match(request, tag.as_bytes());
    let mut head = outgoing::builder(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    head.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((header::ETAG, tag));
    if is_known {
        return head.finish();
    }
    outgoing::passed(request, shared, Client::of(request, shared), head.finish(), body).await
}
