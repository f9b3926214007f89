//! A compressed stream, as Netty's `ZlibEncoder` and `ZlibDecoder` make it: one zlib stream in each direction for the life
//! of the connection, flushed whenever something has to arrive.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Compressed bytes that are read or written at once.
const CHUNK_BYTES: usize = 16 << 10;
/// No more is compressed before so much was written.
const MAX_UNWRITTEN_BYTES: usize = 64 << 10;

/// Compresses what is written to `inner` and decompresses what is read from it. However much a peer's bytes expand, no
/// more is decompressed than the reader has room for. Takes memory for a direction with its first byte.
pub struct ZlibStream<S> {
    inner: S,
    level: Compression,
    inflate: Option<Decompress>,
    /// Read from `inner` and not yet decompressed.
    compressed: BytesMut,
    deflate: Option<Compress>,
    /// Compressed and not yet written to `inner`.
    unwritten: BytesMut,
    /// Whether the compressor holds something back.
    dirty: bool,
    finished: bool,
}

impl<S> ZlibStream<S> {
    /// `level` from 0, none, to 9, best.
    pub fn new(inner: S, level: u32) -> Self {
        ZlibStream {
            inner,
            level: Compression::new(level),
            inflate: None,
            compressed: BytesMut::new(),
            deflate: None,
            unwritten: BytesMut::new(),
            dirty: false,
            finished: false,
        }
    }

    /// Compresses some of `bytes`; what was compressed is appended to `unwritten`.
    fn compress(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<(usize, bool)> {
        let level = self.level;
        let deflate = self
            .deflate
            .get_or_insert_with(|| Compress::new(level, true));
        let before_in = deflate.total_in();
        let before_out = deflate.total_out();
        let start = self.unwritten.len();
        self.unwritten.resize(start + CHUNK_BYTES, 0);
        let outcome = deflate.compress(bytes, &mut self.unwritten[start..], flush);
        let written = (deflate.total_out() - before_out) as usize;
        self.unwritten.truncate(start + written);
        outcome.map_err(io::Error::other)?;
        let consumed = (deflate.total_in() - before_in) as usize;
        Ok((consumed, written < CHUNK_BYTES))
    }

    /// Everything that the compressor holds back.
    fn compress_rest(&mut self, flush: FlushCompress) -> io::Result<()> {
        loop {
            let (_, complete) = self.compress(&[], flush)?;
            if complete {
                self.dirty = false;
                return Ok(());
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> ZlibStream<S> {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unwritten.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.unwritten))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unwritten.advance(written);
        }
        self.unwritten = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ZlibStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(inflate) = &mut this.inflate {
                let before_in = inflate.total_in();
                let before_out = inflate.total_out();
                let room = buffer.initialize_unfilled();
                let outcome = inflate.decompress(&this.compressed, room, FlushDecompress::Sync);
                let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                let status = outcome.map_err(invalid)?;
                this.compressed
                    .advance((inflate.total_in() - before_in) as usize);
                let produced = (inflate.total_out() - before_out) as usize;
                buffer.advance(produced);
                if produced > 0 || status == Status::StreamEnd {
                    return Poll::Ready(Ok(()));
                }
            }
            this.compressed.resize(CHUNK_BYTES, 0);
            let mut chunk = ReadBuf::new(&mut this.compressed);
            let outcome = Pin::new(&mut this.inner).poll_read(cx, &mut chunk);
            let count = chunk.filled().len();
            this.compressed.truncate(count);
            if count == 0 {
                this.compressed = BytesMut::new();
                // Nothing for now, the end, or an error.
                return outcome;
            }
            this.inflate.get_or_insert_with(|| Decompress::new(true));
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ZlibStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unwritten.len() >= MAX_UNWRITTEN_BYTES {
            ready!(this.poll_write_out(cx))?;
        }
        loop {
            let (consumed, _) = this.compress(bytes, FlushCompress::None)?;
            this.dirty = true;
            if consumed > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(consumed));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.dirty {
            this.compress_rest(FlushCompress::Sync)?;
        }
        ready!(this.poll_write_out(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.finished {
            this.finished = true;
            this.compress_rest(FlushCompress::Finish)?;
        }
        ready!(this.poll_write_out(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_is_flushed_arrives_and_all_of_it() {
        let (near, far) = duplex(1000);
        let mut near = ZlibStream::new(near, 6);
        let mut far = ZlibStream::new(far, 1);
        let noise: Vec<u8> = (0..300_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for content in [&b"hello"[..], &[0; 500_000], &noise] {
            let (_, received) = tokio::join!(
                async {
                    near.write_all(content).await.unwrap();
                    near.flush().await.unwrap();
                },
                async {
                    let mut received = vec![0; content.len()];
                    far.read_exact(&mut received).await.unwrap();
                    far.write_all(b"ok").await.unwrap();
                    far.flush().await.unwrap();
                    received
                }
            );
            assert!(received == content);
            let mut answer = [0; 2];
            near.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"ok");
        }
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0; 10]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_stream_begins_as_javas_does_and_ends_each_flush_with_an_empty_block() {
        let (near, mut far) = duplex(1000);
        let mut near = ZlibStream::new(near, 6);
        near.write_all(b"hello").await.unwrap();
        near.flush().await.unwrap();
        near.flush().await.unwrap();
        let mut received = vec![0; 1000];
        let count = far.read(&mut received).await.unwrap();
        assert!(received.starts_with(&[0x78, 0x9c]));
        assert!(received[..count].ends_with(&[0, 0, 0xff, 0xff]));
    }

    #[tokio::test]
    async fn what_is_not_compressed_is_an_error() {
        let (mut near, far) = duplex(1000);
        near.write_all(b"GET / HTTP/1.1").await.unwrap();
        let error = ZlibStream::new(far, 6)
            .read(&mut [0; 10])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
