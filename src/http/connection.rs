//! A connection that can be told to end when it is idle.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use super::places::{ConnectionPlace, TakenPlace};
use crate::tls::{sans, subject};

/// What the framework reads requests from and writes answers to.
#[derive(Debug)]
pub(super) struct Connection {
    stream: ClientStream,
    taken: TakenPlace,
}

/// The bytes of a connection.
#[derive(Debug)]
pub(super) enum ClientStream {
    /// Plain HTTP.
    Plain(TcpStream),
    /// Plain HTTP from the same machine.
    Unix(UnixStream),
    /// HTTPS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The certificate that a client showed.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Its subject and its fingerprint.
    pub(super) subject: Arc<str>,
    /// Its subject alternative names.
    pub(super) sans: Arc<[Box<str>]>,
}

impl Connection {
    pub(super) const fn new(stream: ClientStream, taken: TakenPlace) -> Self {
        Self { stream, taken }
    }

    /// Its place.
    pub(super) const fn place(&self) -> &Rc<ConnectionPlace> {
        self.taken.place()
    }

    /// What the client showed of itself. It was verified in the handshake.
    pub(super) fn shown(&self) -> Option<Shown> {
        let ClientStream::Tls(stream) = &self.stream else { return None };
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        Some(Shown { subject: subject(certificate).into(), sans: sans(certificate).into() })
    }
}

/// A connection that gives way reads as one whose client has ended it, which the framework knows how to deal with.
impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.place().waits() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = match &mut self.stream {
            ClientStream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            ClientStream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            ClientStream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        match polled {
            Poll::Pending if self.place().ends(cx) => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.place().heard(buf.filled().len() - before),
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = match &mut self.stream {
            ClientStream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            ClientStream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            ClientStream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.place().wrote(polled.is_pending(), cx);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.stream {
            ClientStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            ClientStream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            ClientStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.place().flushed(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            ClientStream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            ClientStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            ClientStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
