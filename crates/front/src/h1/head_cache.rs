//! Heads that came before: a client that says the same again is understood without parsing.
//!
//! Health checks, pollers and clients of an API send the same head byte for byte, request after request. What such a
//! head means follows from its bytes and from where it arrived, so it is kept and compared. A head is kept when it is
//! seen for the second time in a row; traffic that never repeats itself pays for one hash of 32 bytes.

use super::arrival::ParsedHead;
use http::root::Endpoint;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Places for heads.
const PLACES: usize = 64;
/// So many bytes choose the place; a shorter head is not kept.
const KEYED: usize = 32;
/// A longer head is not kept.
const LONGEST: usize = 1024;

/// A head that is understood.
pub(crate) struct KnownHead {
    bytes: Vec<u8>,
    endpoint: Rc<Endpoint>,
    /// What it means.
    pub meaning: ParsedHead,
}

impl KnownHead {
    /// Length of the head.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }
}

/// The heads that a worker remembers.
pub(crate) struct HeadCache {
    places: RefCell<Vec<Option<Rc<KnownHead>>>>,
    /// Key of the last head that was not known, by place.
    candidates: Vec<Cell<u64>>,
}

impl Default for HeadCache {
    fn default() -> Self {
        HeadCache { places: RefCell::new(vec![None; PLACES]), candidates: vec![Cell::new(0); PLACES] }
    }
}

fn key(bytes: &[u8]) -> Option<u64> {
    let (words, _) = bytes.get(..KEYED)?.as_chunks();
    let mix = |key: u64, word: &[u8; 8]| (key ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    // Never 0, which stands for nobody.
    Some(words.iter().fold(1, mix) | 1)
}

fn place(key: u64) -> usize {
    (key >> 32) as usize % PLACES
}

impl HeadCache {
    /// The head at the start of `input`, which arrived at `endpoint`, if it is known.
    pub(crate) fn find(&self, input: &[u8], endpoint: &Rc<Endpoint>) -> Option<Rc<KnownHead>> {
        let key = key(input)?;
        let places = self.places.borrow();
        let seen = places.get(place(key))?.as_ref()?;
        (input.starts_with(&seen.bytes) && Rc::ptr_eq(&seen.endpoint, endpoint)).then(|| seen.clone())
    }

    /// Learns what the head `bytes`, which arrived at `endpoint`, means. It must mean the same whenever it comes there.
    pub(crate) fn insert(&self, bytes: &[u8], endpoint: &Rc<Endpoint>, meaning: impl FnOnce() -> ParsedHead) {
        if bytes.len() > LONGEST {
            return;
        }
        let Some(key) = key(bytes) else { return };
        let place = place(key);
        let Some(candidate) = self.candidates.get(place) else { return };
        if candidate.replace(key) != key {
            return;
        }
        if let Some(place) = self.places.borrow_mut().get_mut(place) {
            *place = Some(Rc::new(KnownHead { bytes: bytes.to_vec(), endpoint: endpoint.clone(), meaning: meaning() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_needs_enough_bytes_and_sees_each_of_them() {
        let text = *b"GET /0123456789 HTTP/1.1\r\nHost: a";
        assert_eq!(key(&text[..KEYED - 1]), None);
        let of = key(&text);
        assert!(of.is_some_and(|key| key != 0));
        for at in 0..KEYED {
            let mut other = text;
            other[at] ^= 1;
            assert_ne!(key(&other), of, "{at}");
        }
    }
}
