//! Remembers the first bytes that a peer sent, and how its stream ended.
//!
//! HTTP/2, HTTP/1 and TLS all differ in their first bytes. The layers above drop them when they make no sense,
//! so a wrong protocol could only be guessed at from their errors; here it is simply read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};
use tokio_rustls::rustls;

/// An HTTP/2 frame header: enough to tell every protocol apart.
const ENOUGH: usize = 9;

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
    Tls,
}

impl Protocol {
    /// Reads the protocol off the first bytes; `None` when they are too few, or of none of the three.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'H', b'T', b'T', b'P', b'/', ..] => Some(Self::Http1),
            // A TLS alert or handshake record of SSL 3.0 to TLS 1.3.
            [0x15 | 0x16, 0x03, 0x00..=0x04, ..] => Some(Self::Tls),
            // The server's preface is a SETTINGS frame (type 4) of stream 0, a few settings of 6 bytes long.
            [0x00, _, _, 0x04, _, 0x00, 0x00, 0x00, 0x00, ..] => Some(Self::Http2),
            _ => None,
        }
    }
}

/// How a stream ended.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    Closed,
    Failed { tls: Option<rustls::Error> },
}

/// What is known of the peer of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerSaid {
    /// A TCP connection stands, or stood.
    pub(super) reached: bool,
    /// At most the first few bytes.
    pub(super) bytes: Vec<u8>,
    pub(super) ending: Option<Ending>,
}

impl PeerSaid {
    pub(super) fn protocol(&self) -> Option<Protocol> {
        Protocol::of(&self.bytes)
    }

    /// Nothing will be learned by waiting longer.
    pub(super) fn is_settled(&self) -> bool {
        self.bytes.len() >= ENOUGH || self.ending.is_some()
    }
}

/// Shared between one connection's stream and those who want to know.
#[derive(Clone, Debug)]
pub(super) struct Seen(Arc<watch::Sender<PeerSaid>>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(PeerSaid::default())))
    }

    pub(super) fn now(&self) -> PeerSaid {
        self.0.borrow().clone()
    }

    pub(super) fn note_reached(&self) {
        self.0.send_modify(|said| said.reached = true);
    }

    /// Waits until the peer's protocol is known, or its stream has ended.
    pub(super) async fn settled(&self) -> PeerSaid {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(PeerSaid::is_settled).await {
            Ok(said) => said.clone(),
            // Cannot be: this very value holds the sender.
            Err(_) => self.now(),
        }
    }

    fn note_bytes(&self, bytes: &[u8]) {
        self.0.send_modify(|said| said.bytes.extend(bytes.iter().take(ENOUGH - said.bytes.len())));
    }

    /// The first ending is the cause; later ones follow from it.
    fn note_ending(&self, ending: Ending) {
        self.0.send_modify(|said| {
            said.ending.get_or_insert(ending);
        });
    }
}

/// A stream whose first bytes and whose end are noted.
#[derive(Debug)]
pub(super) struct FirstBytes<T> {
    inner: T,
    seen: Seen,
    noted: usize,
}

impl<T> FirstBytes<T> {
    pub(super) fn new(inner: T, seen: Seen) -> Self {
        Self { inner, seen, noted: 0 }
    }

    /// A failed write ends the connection before what the peer said last (often the reason, such as a TLS alert) is
    /// read: it is read here, and so lost to nobody.
    fn note_last_words(&mut self, cx: &mut Context<'_>)
    where
        T: AsyncRead + Unpin,
    {
        let mut space = [0; 64];
        let mut words = ReadBuf::new(&mut space);
        if let Poll::Ready(result) = Pin::new(&mut self.inner).poll_read(cx, &mut words) {
            self.note(&result, words.filled(), true);
        }
    }

    fn note(&mut self, result: &io::Result<()>, new: &[u8], wanted: bool) {
        match result {
            Ok(()) if new.is_empty() && wanted => self.seen.note_ending(Ending::Closed),
            Ok(()) if self.noted < ENOUGH => {
                self.noted = (self.noted + new.len()).min(ENOUGH);
                self.seen.note_bytes(new);
            }
            Ok(()) => {}
            Err(error) => {
                let tls = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()).cloned();
                self.seen.note_ending(Ending::Failed { tls });
            }
        }
    }
}

/// A writer that fails first gives up without reading: the end must be seen all the same.
impl<T> Drop for FirstBytes<T> {
    fn drop(&mut self) {
        self.seen.note_ending(Ending::Closed);
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FirstBytes<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, wanted) = (buf.filled().len(), buf.remaining() > 0);
        let result = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
        this.note(&result, buf.filled().get(before..).unwrap_or_default(), wanted);
        Poll::Ready(result)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> FirstBytes<T> {
    fn poll_writing<O>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<O>>,
    ) -> Poll<io::Result<O>> {
        let written = write(Pin::new(&mut self.inner), cx);
        if matches!(written, Poll::Ready(Err(_))) {
            self.note_last_words(cx);
        }
        written
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FirstBytes<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_writing(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_writing(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_writing(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[test]
    fn each_protocol_is_known_by_its_first_bytes() {
        assert_eq!(Protocol::of(b"HTTP/1.1 400"), Some(Protocol::Http1));
        assert_eq!(Protocol::of(&[0x15, 3, 1, 0, 2, 2, 0x46]), Some(Protocol::Tls));
        assert_eq!(Protocol::of(&[0, 0, 18, 4, 0, 0, 0, 0, 0]), Some(Protocol::Http2));
        assert_eq!(Protocol::of(&[0, 0, 18, 4]), None);
        assert_eq!(Protocol::of(b"SSH-2.0-OpenSSH"), None);
    }

    #[tokio::test]
    async fn the_first_bytes_and_the_end_are_noted_and_the_data_is_untouched() {
        let seen = Seen::new();
        let mut stream = FirstBytes::new(&b"HTTP/1.1 400 Bad Request"[..], seen.clone());
        let mut first = [0; 4];
        stream.read_exact(&mut first).await.unwrap();
        assert!(!seen.now().is_settled());
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "/1.1 400 Bad Request");
        let said = seen.settled().await;
        assert_eq!(said.bytes, b"HTTP/1.1 ");
        assert!(matches!(said.ending, Some(Ending::Closed)));
    }

    #[tokio::test]
    async fn a_stream_that_is_given_up_unread_has_ended() {
        let seen = Seen::new();
        drop(FirstBytes::new(&b""[..], seen.clone()));
        assert!(seen.settled().await.ending.is_some());
    }
}
