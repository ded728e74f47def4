//! Several pieces of bytes as one message.

/// The pieces, each behind its length.
pub(crate) fn pack<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut message = Vec::new();
    for piece in pieces {
        message.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        message.extend_from_slice(piece);
    }
    message
}

/// The pieces of a message; `None` where it is not one of [`pack`]'s.
pub(crate) fn unpack(mut message: &[u8]) -> Option<Vec<&[u8]>> {
    let mut pieces = Vec::new();
    while !message.is_empty() {
        let (length, rest) = message.split_first_chunk::<8>()?;
        let (piece, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        pieces.push(piece);
        message = rest;
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out() {
        let pieces: [&[u8]; 4] = [b"one", b"", b"three", b"4"];
        let message = pack(pieces);
        assert_eq!(unpack(&message).as_deref(), Some(&pieces[..]));
        assert_eq!(unpack(&message[..message.len() - 1]), None);
        assert_eq!(unpack(b"short"), None);
        assert_eq!(unpack(b""), Some(Vec::new()));
    }
}
