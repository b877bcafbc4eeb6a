//! Connection IDs that are issued to clients: they encode the process that owns the connection, encrypted with a key.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};

/// Their length, that of nginx's.
pub(super) const LENGTH: u8 = 20;

/// Makes connection IDs: a byte that says which socket of the listener they belong to, four random ones, four that name the process,
/// and random ones. The first and the name are hidden by what follows from the random four and a key that all processes have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    pub(super) key: u64,
    pub(super) socket: u8,
    pub(super) process: u32,
}

impl Ids {
    /// What hides the process behind these random bytes.
    fn mask(&self, random: u32) -> u32 {
        let mixed = (u64::from(random) ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as u32 ^ (self.key >> 32) as u32
    }

    /// What hides the socket. The kernel computes it too ([`sys::udp::attach_steering`]), so that it is one multiplication.
    fn byte(&self, random: u32) -> u8 {
        (random.wrapping_mul(multiplier(self.key)) >> 24) as u8
    }

    /// The process that an ID names.
    pub(super) fn process_of(&self, id: &[u8]) -> Option<u32> {
        let random = u32::from_be_bytes(*id.get(1..)?.first_chunk()?);
        let name = u32::from_be_bytes(*id.get(5..)?.first_chunk()?);
        (id.len() == usize::from(LENGTH)).then_some(name ^ self.mask(random))
    }
}

/// The factor by which the socket is hidden.
pub(super) fn multiplier(key: u64) -> u32 {
    let [.., a, b, c, d] = key.to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) | 1
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; LENGTH as usize];
        tls::quic::fill_random(&mut bytes);
        let random = u32::from_be_bytes(bytes.get(1..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default());
        let name = (self.process ^ self.mask(random)).to_be_bytes();
        bytes[0] = self.socket ^ self.byte(random);
        bytes.iter_mut().skip(5).zip(name).for_each(|(place, byte)| *place = byte);
        ConnectionId::new(&bytes)
    }

    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        // What another process gave to a client that came to us is answered with a reset, as it is gone.
        Ok(())
    }

    fn cid_len(&self) -> usize {
        LENGTH.into()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_process() {
        let mut ids = Ids { key: 0x0123_4567_89ab_cdef, socket: 3, process: 77 };
        let (one, other) = (ids.generate_cid(), ids.generate_cid());
        assert_ne!(one, other);
        assert_eq!((ids.process_of(&one), ids.process_of(&other)), (Some(77), Some(77)));
        assert_eq!(ids.process_of(&one[..19]), None);
        let random = u32::from_be_bytes(one[1..5].try_into().unwrap());
        assert_eq!(one[0] ^ ids.byte(random), 3);
    }
}
