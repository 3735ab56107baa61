//! One JWT, asked for at the current server and, if that does not answer well and soon, at the others.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::answer::ServerAnswer;
use super::server::JwtRequest;
use super::{AnswerSource, Class, Fetched, Upstream, UpstreamAnswer, UpstreamError};

/// How long all requests for one JWT may take together, whatever a single one may. A nats-server gives up after 1.9 s,
/// and has to hear of it before that.
pub(super) const BUDGET: Duration = Duration::from_millis(1_400);

impl Upstream {
    /// Asks for one JWT by its path behind `/jwt/v1/`. `etag`: the entity tag of the copy at hand, if it came from a server
    /// of our kind. `class`: whether it is known to exist.
    pub(crate) async fn fetch(
        &self,
        path: &str,
        etag: Option<&Bytes>,
        class: Class,
    ) -> Result<UpstreamAnswer, UpstreamError> {
        let deadline = Instant::now() + BUDGET;
        // One that has not answered by then is slow: the next one is asked as well.
        let patience = self.timeout.min(BUDGET) / 2;
        let operator = self.operator_wanted();
        let operator = operator.as_ref();
        let ask = |place: usize| async move {
            let ask = JwtRequest { path, etag, class, deadline, timeout: self.timeout, patience, operator };
            let answer = self.servers[place].fetch(&ask).await;
            (place, self.noted(place, answer))
        };
        let mut waiting = self.candidates_now().into_iter();
        let Some(first) = waiting.next() else { return Err(self.all_foreign()) };
        let mut asked = FuturesUnordered::from_iter([ask(first)]);
        let (mut failed, mut absent) = (None, None);
        while !asked.is_empty() {
            let next = tokio::select! {
                biased;
                Some((place, result)) = asked.next() => match result {
                    // The preferred one is slow. It may know more than one that it is copied to.
                    Ok(given @ ServerAnswer { fetched: Fetched::Absent, .. }) if place != first && !asked.is_empty() => {
                        absent.get_or_insert((place, given));
                        continue;
                    }
                    Ok(given) => {
                        // Who was too slow is known by that.
                        drop(asked);
                        return Ok(self.answer(place, given));
                    }
                    Err(error) => {
                        failed.get_or_insert(error);
                        waiting.next()
                    }
                },
                () = sleep_until(Instant::now() + patience), if waiting.len() > 0 => waiting.next(),
            };
            asked.extend(next.map(ask));
        }
        match absent {
            Some((place, given)) => Ok(self.answer(place, given)),
            None => Err(failed.unwrap_or_else(UpstreamError::no_answer)),
        }
    }

    /// The answer of a server. Those that were asked before it have failed, or were given up.
    fn answer(&self, place: usize, given: ServerAnswer) -> UpstreamAnswer {
        self.answered(place);
        let followed = self.followed.load(std::sync::atomic::Ordering::Acquire);
        let is_of_followed = place == followed;
        UpstreamAnswer {
            fetched: given.fetched,
            source: AnswerSource {
                is_followed: is_of_followed && given.is_confirmed,
                is_of_followed,
                is_of_primary: given.is_primary,
                age: given.age,
            },
        }
    }

    /// [`Upstream::candidates`], those last that failed just now.
    fn candidates_now(&self) -> Vec<usize> {
        let mut places = self.candidates();
        places.sort_by_key(|place| self.servers[*place].health.is_resting());
        places
    }
}
