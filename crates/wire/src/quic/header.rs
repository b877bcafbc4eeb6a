//! Headers of packets (RFC 9000, 17), as far as they can be read without keys.

use super::varint;

/// The longest connection ID of version 1, bytes (RFC 9000, 17.2).
pub const LONGEST_ID: usize = 20;

/// The connection ID that the first packet of a datagram is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header<'a> {
    /// A packet of a connection that stands; its ID has the length that its receiver gives to all.
    Short(&'a [u8]),
    /// A packet with a long header.
    Long {
        /// The version.
        version: u32,
        /// Whom it is for.
        destination: &'a [u8],
        /// Whose it is.
        source: &'a [u8],
        /// Its kind: 0 is Initial, 1 is 0-RTT, 2 is Handshake, 3 is Retry.
        kind: u8,
    },
}

impl<'a> Header<'a> {
    /// The header at the beginning of a datagram, where our own IDs have `length` bytes.
    #[must_use]
    pub fn parse(datagram: &'a [u8], length: usize) -> Option<Self> {
        let (first, rest) = datagram.split_first()?;
        if first & 0x80 == 0 {
            return rest.get(..length).map(Header::Short);
        }
        let (version, rest) = rest.split_first_chunk()?;
        let (destination, rest) = id(rest)?;
        let (source, _) = id(rest)?;
        Some(Header::Long { version: u32::from_be_bytes(*version), destination, source, kind: first >> 4 & 3 })
    }

    /// The Destination Connection ID (RFC 9000, 17.2).
    #[must_use]
    pub fn destination(&self) -> &'a [u8] {
        match self {
            Header::Short(id) => id,
            Header::Long { destination, .. } => destination,
        }
    }

    /// Whether it is an Initial packet of version 1.
    #[must_use]
    pub fn is_initial(&self) -> bool {
        matches!(self, Header::Long { version: 1, kind: 0, .. })
    }
}

fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// An Initial packet of version 1 in a datagram, still protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initial<'a> {
    /// The packet.
    pub packet: &'a [u8],
    /// Where its number begins.
    pub number_at: usize,
    /// Whom it is for.
    pub destination: &'a [u8],
    /// The token that proves the client's address.
    pub token: &'a [u8],
}

/// The Initial packets of a datagram: packets of other kinds are passed over, and what cannot be read ends it.
pub fn initials(datagram: &[u8]) -> impl Iterator<Item = Initial<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        loop {
            let (packet, after) = next(rest)?;
            rest = after;
            if packet.is_some() {
                return packet;
            }
        }
    })
}

/// The packet at the beginning, if it is an Initial one, and what stands behind it.
fn next(bytes: &[u8]) -> Option<(Option<Initial<'_>>, &[u8])> {
    let Header::Long { version: 1, destination, kind, .. } = Header::parse(bytes, 0)? else { return None };
    let rest = id(id(bytes.get(5..)?)?.1)?.1;
    if kind == 3 || destination.len() > LONGEST_ID {
        return None;
    }
    let (token, rest) = if kind == 0 {
        let (length, rest) = varint::take(rest)?;
        rest.split_at_checked(usize::try_from(length).ok()?)?
    } else {
        (&[][..], rest)
    };
    let (length, rest) = varint::take(rest)?;
    let number_at = bytes.len() - rest.len();
    let (packet, after) = bytes.split_at_checked(number_at.checked_add(usize::try_from(length).ok()?)?)?;
    Some(((kind == 0).then_some(Initial { packet, number_at, destination, token }), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(kind: u8, token: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0xc0 | kind << 4, 0, 0, 0, 1, 3, 1, 2, 3, 1, 9];
        if kind == 0 {
            varint::put(&mut out, token.len() as u64);
            out.extend_from_slice(token);
        }
        varint::put(&mut out, payload.len() as u64);
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn packets_of_a_datagram_are_told_apart() {
        let datagram = [long(0, b"tok", b"abc"), long(1, b"", b"early"), long(0, b"", b"de"), vec![0; 5]].concat();
        let found: Vec<_> = initials(&datagram).map(|one| (one.token, &one.packet[one.number_at..])).collect();
        assert_eq!(found, [(&b"tok"[..], &b"abc"[..]), (b"", b"de")]);
        assert!(initials(&datagram).all(|one| one.destination == [1, 2, 3]));
    }

    #[test]
    fn headers_say_whom_they_are_for() {
        let datagram = long(2, b"", b"");
        let header = Header::parse(&datagram, 4).unwrap();
        assert_eq!(header, Header::Long { version: 1, destination: &[1, 2, 3], source: &[9], kind: 2 });
        assert!(!header.is_initial());
        assert_eq!(Header::parse(&[0x40, 5, 6, 7], 2), Some(Header::Short(&[5, 6])));
        assert_eq!(Header::parse(&[0x40, 5], 2), None);
        assert_eq!(Header::parse(&[], 0), None);
    }

    #[test]
    fn what_is_cut_off_is_no_packet() {
        let whole = long(0, b"tok", b"abc");
        for end in 0..whole.len() {
            assert_eq!(initials(&whole[..end]).count(), 0);
        }
    }
}
