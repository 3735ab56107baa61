//! `GET /jwt/v1/pack`: the account JWTs that are served, `<key>|<JWT>` in each line.
//!
//! It is sent piece by piece as the client takes it, so its memory does not depend on how many accounts there are, nor on
//! what `max` says. An answer that cannot be completed ends without its last chunk, so no client takes it for whole.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::peer::Client;
use super::query::Params;
use super::turns::Turn;
use super::{Shared, caching, reply};
use crate::excerpt::excerpt;
use crate::jwt;
use crate::node::{Ages, Node, Served, Upstream, Whole};

/// Accounts that are read in one go.
const PIECE: usize = 500;
/// How long a client may take for a piece while no other client waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client waits for its turn.
const TURN: Duration = Duration::from_secs(5);

pub(super) async fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let max = match max(&Params::of(request)) {
        Ok(max) => max,
        Err(message) => return reply::error(request, StatusCode::BAD_REQUEST, &message),
    };
    match shared.node.whole() {
        Whole::Stored { .. } => {}
        Whole::NotYet(why) => return not_whole(request, why),
        Whole::Never => {
            let primary = shared.node.upstream().map(Upstream::primary).unwrap_or_default();
            let message = format!("a cache may lack accounts\nask its primary, at {primary}");
            return reply::error(request, StatusCode::NOT_FOUND, &message);
        }
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, "text/plain"))
        .insert_header(reply::NOSNIFF)
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if max == 0 || *request.method() == Method::HEAD {
        return response.finish();
    }
    let turn = timeout(TURN, shared.scarce.packs.take(Client::of(request, shared), 1)).await;
    let Ok(Ok(turn)) = turn else {
        return reply::crowded(request, "packs", "5", "too many packs are being sent");
    };
    let first = match shared.node.served(None, PIECE.min(max)).await {
        Ok(Some(piece)) => piece,
        Ok(None) => return not_whole(request, "this server does not store every account now"),
        Err(error) => {
            if let Some(held_back) = shared.failure("pack") {
                tracing::error!("cannot read a pack: {error}{held_back}");
            }
            let message = format!("error packing JWTs\n{}", error.for_clients());
            return reply::error(request, StatusCode::INTERNAL_SERVER_ERROR, &message);
        }
    };
    let (sender, receiver) = mpsc::channel(1);
    let packing = Packing { node: shared.node.clone(), left: max, is_first: true, sender, turn };
    tokio::spawn(packing.run(first));
    let mut response = response.streaming(stream::unfold(Some(receiver), next));
    // A mirror that lost its primary answers as well. The ages say since when.
    if let Some(age) = shared.node.upstream().and_then(Upstream::primary_age) {
        caching::ages(response.headers_mut(), Ages { entry: age, primary: Some(age) });
    }
    response
}

fn not_whole(request: &HttpRequest, why: &str) -> HttpResponse {
    let message = format!("{why}\na pack would lack accounts");
    reply::try_later(request, StatusCode::SERVICE_UNAVAILABLE, "5", &message)
}

/// How many JWTs are wanted at most. A negative number is no limit, as it was.
fn max(params: &Params) -> Result<usize, String> {
    let Some(text) = params.get("max").filter(|text| !text.is_empty()) else { return Ok(usize::MAX) };
    match text.parse::<i64>() {
        Ok(max) => Ok(usize::try_from(max).unwrap_or(usize::MAX)),
        Err(_) => Err(format!("bad max parameter {}", jwt::quote(&excerpt(text).to_string().to_lowercase()))),
    }
}

/// What is on its way to the client.
enum PackPart {
    Lines(Bytes),
    /// All was sent.
    End,
}

/// A pack under way.
struct Packing {
    node: Arc<Node>,
    left: usize,
    is_first: bool,
    sender: mpsc::Sender<PackPart>,
    turn: Turn,
}

impl Packing {
    async fn run(mut self, mut piece: Served) {
        let draining = self.node.draining().clone();
        loop {
            let lines = self.lines(&piece);
            let sent = async { lines.is_empty() || self.send(PackPart::Lines(lines)).await };
            let goes_on = tokio::select! {
                sent = sent => sent,
                () = self.turn.lost().cancelled() => false,
                () = draining.cancelled() => false,
            };
            self.turn.renew();
            if !goes_on {
                return tracing::debug!(
                    "a pack was not sent completely: the client is gone or slow, or the server is stopping"
                );
            }
            let Some(after) = piece.next.filter(|_| self.left > 0) else {
                self.send(PackPart::End).await;
                return;
            };
            piece = match self.node.served(Some(after), PIECE.min(self.left)).await {
                Ok(Some(piece)) => piece,
                Ok(None) => return,
                Err(error) => return tracing::error!("a pack was not sent completely: {error}"),
            };
        }
    }

    /// The lines of a piece, with what parts them from those before.
    fn lines(&mut self, piece: &Served) -> Bytes {
        let mut lines = BytesMut::new();
        for stored in piece.accounts.iter().take(self.left) {
            if !std::mem::take(&mut self.is_first) {
                lines.extend_from_slice(b"\n");
            }
            stored.write_line(&mut lines);
        }
        self.left -= piece.accounts.len().min(self.left);
        lines.freeze()
    }

    async fn send(&self, part: PackPart) -> bool {
        matches!(timeout(PATIENCE, self.sender.send(part)).await, Ok(Ok(())))
    }
}

async fn next(
    parts: Option<mpsc::Receiver<PackPart>>,
) -> Option<(io::Result<Bytes>, Option<mpsc::Receiver<PackPart>>)> {
    let mut parts = parts?;
    match parts.recv().await {
        Some(PackPart::Lines(lines)) => Some((Ok(lines), Some(parts))),
        Some(PackPart::End) => None,
        None => Some((Err(io::Error::other("the pack could not be completed")), None)),
    }
}
