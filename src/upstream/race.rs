//! A request for one JWT: to the current server, and to the others if that one fails or is slow.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::answer::ServerAnswer;
use super::server::JwtRequest;
use super::{AnswerSource, Class, Fetched, Upstream, UpstreamAnswer, UpstreamError};

/// The time limit of all requests for one JWT together. A nats-server gives up after 1.9 s, and must get an answer
/// before that.
const BUDGET: Duration = Duration::from_millis(1_400);

impl Upstream {
    /// Until when a request for one JWT that begins now must be answered.
    pub(crate) fn deadline() -> Instant {
        Instant::now() + BUDGET
    }

    /// Requests one JWT by its path after `/jwt/v1/`. `etag`: the entity tag of the copy, if one of our servers gave
    /// it. `class`: whether the key is known to exist. `deadline`: of [`Upstream::deadline`].
    pub(crate) async fn fetch(
        &self,
        path: &str,
        etag: Option<&Bytes>,
        class: Class,
        deadline: Instant,
    ) -> Result<UpstreamAnswer, UpstreamError> {
        // A server without an answer by then is slow, and the next one gets the request as well.
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
                    // The preferred server is slow, and may know more than a server that copies it.
                    Ok(given @ ServerAnswer { fetched: Fetched::Absent, .. }) if place != first && !asked.is_empty() => {
                        absent.get_or_insert((place, given));
                        continue;
                    }
                    Ok(given) => {
                        // That drop counts against a server that was too slow.
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

    /// The answer of a server. The servers before it have failed, or were given up.
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

    /// [`Upstream::candidates`], with those last that failed just now.
    fn candidates_now(&self) -> Vec<usize> {
        let mut places = self.candidates();
        places.sort_by_key(|place| self.servers[*place].health.is_resting());
        places
    }
}
