//! The body of a frame: checked, and opened when it is sealed.

use std::io;

use bytes::Bytes;

use crate::{
    encryption::{FrameCipher, FramePlace, TAG_BYTES},
    format::{FrameHeader, Malformed},
};

/// The body as it was before it was sealed, if it is what the header vouches for. The error is that of a key that
/// cannot be the right one: then nothing is known of the body.
pub(crate) fn open_body(
    header: &FrameHeader,
    stored: Bytes,
    cipher: Option<&FrameCipher>,
) -> io::Result<Result<Bytes, Malformed>> {
    let malformed = |why| Ok(Err(Malformed(why)));
    if !header.vouches_for(&stored) {
        return malformed("the checksum of the body is wrong");
    }
    let cipher = match (header.sealed, cipher) {
        (false, None) => return Ok(Ok(stored)),
        // A segment never holds both: somebody wrote this frame who has no key.
        (false, Some(_)) => return malformed("it is not sealed, its segment is"),
        (true, None) => return malformed("it is sealed, its segment is not"),
        (true, Some(cipher)) => cipher,
    };
    let mut body = stored.to_vec();
    let Some((_, tag)) = stored.split_last_chunk::<TAG_BYTES>() else {
        return malformed("it has no seal");
    };
    body.truncate(stored.len() - TAG_BYTES);
    let place = FramePlace {
        group: header.group,
        frame: header.index,
    };
    match cipher.open(place, &header.fields().0, &mut body, tag) {
        Ok(()) => Ok(Ok(body.into())),
        Err(_) if cipher.is_proved() => malformed("its seal is broken: it was changed"),
        // The medium did what it was told, so the key is wrong, or somebody changed the frame. With another key
        // everything would look like this, and must not be given up.
        Err(_) => Err(io::Error::other(
            "the seal of a frame is broken although its checksum is right: the key is not the one that it was sealed \
             with, or the frame was changed",
        )),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::{encryption::Keys, format::FrameKind};

    /// Checksums are no secret, so anybody can make a frame that is not sealed.
    #[test]
    fn a_sealed_segment_takes_no_frame_without_a_seal() {
        let key = Zeroizing::new(vec![7; 32]);
        let keys = Keys::new("key".into(), [("key".into(), key)].into());
        let cipher = keys.cipher("key", &[1; 16], None).expect("a key");
        let body = Bytes::from_static(b"transfer everything");
        let header = FrameHeader {
            kind: FrameKind::Put,
            sealed: false,
            group: 1,
            index: 0,
            body_crc: crc32c::crc32c(&body),
            length: body.len() as u32,
            count: 1,
            first: 1,
            bytes: 1,
            time_ms: 1,
        };
        let opened = open_body(&header, body.clone(), Some(&cipher)).expect("the right key");
        assert_eq!(opened, Err(Malformed("it is not sealed, its segment is")));
        let opened = open_body(&header, body.clone(), None).expect("no key");
        assert_eq!(opened, Ok(body));
    }
}
