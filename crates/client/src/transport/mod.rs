//! What both ends of a connection need: compressed streams, frames, and reading without holding memory while nothing
//! comes.

mod exchange;
mod zlib;

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

pub use exchange::{ExchangeError, FrameExchange};
pub use zlib::ZlibStream;

/// A stream in both directions.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A stream, whatever layers it has.
pub type BoxedStream = Box<dyn Duplex>;

/// Appends to `received` what comes next, at most `room` bytes; 0 when the peer has closed. While nothing comes, an
/// empty `received` holds no memory.
///
/// # Errors
/// When the connection is broken.
pub async fn read_more(
    stream: &mut BoxedStream,
    received: &mut BytesMut,
    room: usize,
) -> io::Result<usize> {
    poll_fn(|cx| {
        received.reserve(room);
        let outcome = pin!(stream.read_buf(received)).poll(cx);
        if outcome.is_pending() && received.is_empty() {
            *received = BytesMut::new();
        }
        outcome
    })
    .await
}

/// Whether the peer has closed a connection on which nothing is expected.
pub async fn is_closed(stream: &mut BoxedStream) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    poll_fn(|cx| {
        // Data that nobody asked for ends a connection, too.
        let outcome = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        Poll::Ready(outcome.is_ready())
    })
    .await
}

/// A stream from which something was read that is read again.
pub struct RewoundStream<S> {
    first: Bytes,
    inner: S,
}

impl<S: AsyncRead + Unpin> RewoundStream<S> {
    /// Looks at the first bytes of a stream: at least `count`, unless it ends before.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn look_at(mut inner: S, count: usize) -> io::Result<(Bytes, Self)> {
        let mut first = BytesMut::with_capacity(count);
        while first.len() < count && inner.read_buf(&mut first).await? > 0 {}
        let first = first.freeze();
        Ok((first.clone(), RewoundStream { first, inner }))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RewoundStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.inner).poll_read(cx, buffer);
        }
        let count = this.first.len().min(buffer.remaining());
        buffer.put_slice(&this.first[..count]);
        this.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RewoundStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
