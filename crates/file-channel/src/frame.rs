//! The body of a frame: checked, and opened when it is sealed.

use bytes::Bytes;

use crate::{
    encryption::{FrameCipher, FramePlace, TAG_BYTES},
    format::{FrameHeader, Malformed},
};

/// The body as it was before it was sealed, if it is what the header vouches for.
pub(crate) fn open_body(
    header: &FrameHeader,
    stored: Bytes,
    cipher: Option<&FrameCipher>,
) -> Result<Bytes, Malformed> {
    if !header.vouches_for(&stored) {
        return Err(Malformed("the checksum of the body is wrong"));
    }
    if !header.sealed {
        return Ok(stored);
    }
    let cipher = cipher.ok_or(Malformed("it is sealed, its segment is not"))?;
    let mut body = stored.to_vec();
    let Some((_, tag)) = stored.split_last_chunk::<TAG_BYTES>() else {
        return Err(Malformed("it has no seal"));
    };
    body.truncate(stored.len() - TAG_BYTES);
    let place = FramePlace {
        group: header.group,
        frame: header.index,
    };
    cipher
        .open(place, &header.fields().0, &mut body, tag)
        .map_err(|_| Malformed("its seal is broken"))?;
    Ok(body.into())
}
