//! A queue of messages that is bounded by their bytes.
//!
//! The client library bounds a subscription by the number of messages. A message may be a megabyte, so that does not bound
//! the memory. So messages are moved here at once, and wait here.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// One unit of the bound: what a message costs besides its text is less.
const UNIT: usize = 1024;

/// A queue for `bytes` of messages, about.
pub(super) fn bounded(bytes: usize) -> (Queue, Queued) {
    let (queue, taken) = mpsc::unbounded_channel();
    (Queue { queue, room: Arc::new(Semaphore::new(bytes / UNIT)) }, Queued(taken))
}

/// Moves what a subscription brings to a queue for `bytes` of messages, for as long as the subscription lives. What there
/// is no room for goes to `dropped`.
pub(super) fn queue_up(mut messages: Subscriber, bytes: usize, dropped: impl Fn(Message) + Send + 'static) -> Queued {
    let (queue, taken) = bounded(bytes);
    tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            if let Err(message) = queue.offer(message) {
                dropped(*message);
            }
        }
    });
    taken
}

/// Where messages are put in.
#[derive(Debug)]
pub(super) struct Queue {
    queue: mpsc::UnboundedSender<(Message, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

impl Queue {
    /// Puts a message in. It comes back if there is no room for it.
    pub(super) fn offer(&self, message: Message) -> Result<(), Box<Message>> {
        let units = u32::try_from(message.payload.len() / UNIT + 1).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(units) {
            Ok(permit) => self.queue.send((message, permit)).map_err(|unsent| Box::new(unsent.0.0)),
            Err(_) => Err(Box::new(message)),
        }
    }
}

/// Where messages are taken out. Each keeps its room until its permit is dropped.
#[derive(Debug)]
pub(super) struct Queued(mpsc::UnboundedReceiver<(Message, OwnedSemaphorePermit)>);

impl Queued {
    /// The next message, in the order in which they came. `None`: no more will come.
    pub(super) async fn next(&mut self) -> Option<(Message, OwnedSemaphorePermit)> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        let payload = vec![0; bytes].into();
        Message {
            subject: "s".into(),
            reply: None,
            payload,
            headers: None,
            status: None,
            description: None,
            length: bytes,
        }
    }

    #[tokio::test]
    async fn bytes_are_bounded_not_messages() {
        let (intake, mut taken) = bounded(10 * UNIT);
        for _ in 0..10 {
            assert!(intake.offer(message(10)).is_ok());
        }
        assert!(intake.offer(message(10)).is_err());
        for _ in 0..6 {
            assert!(taken.next().await.is_some());
        }
        assert!(intake.offer(message(7 * UNIT)).is_err());
        assert!(intake.offer(message(4 * UNIT)).is_ok());
        let (_, held) = taken.next().await.expect("one more");
        assert!(intake.offer(message(3 * UNIT)).is_err(), "the room is taken until the message is dealt with");
        drop(held);
    }
}
