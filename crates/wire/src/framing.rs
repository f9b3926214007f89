//! Cutting what a connection brings into messages.

use bytes::{Buf, Bytes, BytesMut};

/// How a protocol separates its messages.
pub trait Framing: Send {
    /// A message, with what stands around it.
    type Frame: Send;
    /// Why the connection cannot go on.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes the next message from the front of `received`, once all of it is there. In between, whatever is appended
    /// to `received` belongs behind what it holds.
    ///
    /// # Errors
    /// When this is not the protocol, or a message is larger than the limit. It is said before the message has come.
    fn decode(&mut self, received: &mut BytesMut) -> Result<Option<Self::Frame>, Self::Error>;

    /// Bytes of the message under way, as far as is known: what is there and what must come. 0 between messages.
    fn known_bytes(&self) -> usize;
}

/// Takes the first `length` bytes: a slice of the buffer, which then belongs to the message. A message that is small
/// beside the buffer is copied instead, or each event of it would keep the whole buffer in memory.
pub(crate) fn detach(received: &mut BytesMut, length: usize) -> Bytes {
    if length >= received.capacity() / 2 {
        return received.split_to(length).freeze();
    }
    let copy = Bytes::copy_from_slice(&received[..length]);
    received.advance(length);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_message_keeps_no_large_buffer_in_memory() {
        let mut received = BytesMut::with_capacity(1000);
        received.extend_from_slice(&[7; 600]);
        let start = received.as_ptr();
        let small = detach(&mut received, 100);
        assert_ne!(small.as_ptr(), start);
        let large = detach(&mut received, 500);
        assert_eq!(large.as_ptr() as usize, start as usize + 100);
        assert_eq!((&small[..], &large[..]), (&[7; 100][..], &[7; 500][..]));
    }
}
