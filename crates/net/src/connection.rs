//! One connection, with or without TLS.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsStream;

/// How long a peer that is given up may go on sending, so that it can still read the last answer.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to a peer. Reads and writes like any stream; [`readable`](Self::readable) costs no memory.
pub struct Connection {
    stream: Stream,
    peer: SocketAddr,
    local: SocketAddr,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// A plain connection. Small writes are sent at once: answers are short.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub fn plain(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Connection {
            peer: stream.peer_addr()?,
            local: stream.local_addr()?,
            stream: Stream::Plain(stream),
        })
    }

    /// A connection after its TLS handshake.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub fn tls(stream: TlsStream<TcpStream>) -> io::Result<Self> {
        let (tcp, _) = stream.get_ref();
        tcp.set_nodelay(true)?;
        Ok(Connection {
            peer: tcp.peer_addr()?,
            local: tcp.local_addr()?,
            stream: Stream::Tls(Box::new(stream)),
        })
    }

    /// The address of the peer.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address of this end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits until something can be read, or the peer has closed. The caller sets no memory aside meanwhile.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn readable(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.readable().await,
            Stream::Tls(stream) => {
                let decrypted =
                    poll_fn(|cx| Pin::new(&mut **stream).poll_fill_buf(cx).map_ok(|_| ()));
                decrypted.await
            }
        }
    }

    /// Appends what has come to `buffer`, as much as its capacity holds; 0 when the peer has closed, or when there is
    /// no capacity left.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come; otherwise the connection is broken.
    pub fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let stream = match &mut self.stream {
            Stream::Plain(stream) => return stream.try_read_buf(buffer),
            Stream::Tls(stream) => stream,
        };
        let before = buffer.len();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while buffer.len() < buffer.capacity() {
            let decrypted = match Pin::new(&mut **stream).poll_fill_buf(&mut cx) {
                Poll::Ready(Ok(decrypted)) => decrypted,
                Poll::Ready(Err(error)) if buffer.len() == before => return Err(error),
                _ => break,
            };
            let count = decrypted.len().min(buffer.capacity() - buffer.len());
            if count == 0 {
                return Ok(buffer.len() - before);
            }
            buffer.extend_from_slice(&decrypted[..count]);
            Pin::new(&mut **stream).consume(count);
        }
        if buffer.len() == before && buffer.capacity() > before {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(buffer.len() - before)
    }

    /// Closes this end and reads on for a moment, so that the peer can still read the last answer: a connection that
    /// is closed with unread bytes is reset, and a reset throws away what is on its way.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn farewell(&mut self) -> io::Result<()> {
        self.shutdown().await?;
        let _ = timeout(FAREWELL_TIMEOUT, copy(self, &mut sink())).await;
        Ok(())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
