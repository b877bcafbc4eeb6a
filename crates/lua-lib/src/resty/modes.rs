//! AES in its modes of operation (NIST SP 800-38A and 38D), as `resty.aes` names them.

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use base::saturated::Saturated;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

/// The block size of AES, bytes.
pub const BLOCK: usize = 16;

/// One block.
pub type Block = [u8; BLOCK];

/// A mode of operation of AES (NIST SP 800-38A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Each block alone.
    Ecb,
    /// Chained blocks.
    Cbc,
    /// Feedback of so many bits: 1, 8 or 128.
    Cfb(u8),
    /// Output feedback.
    Ofb,
    /// A counter.
    Ctr,
    /// A counter, with a tag.
    Gcm,
}

impl Mode {
    /// The mode of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Mode> {
        Some(match name {
            b"ecb" => Mode::Ecb,
            b"cbc" => Mode::Cbc,
            b"cfb1" => Mode::Cfb(1),
            b"cfb8" => Mode::Cfb(8),
            b"cfb128" => Mode::Cfb(128),
            b"ofb" => Mode::Ofb,
            b"ctr" => Mode::Ctr,
            b"gcm" => Mode::Gcm,
            _ => return None,
        })
    }
}

/// A key that has been prepared.
pub enum Key {
    /// 128 bits.
    Small(Aes128),
    /// 192 bits.
    Middle(Aes192),
    /// 256 bits.
    Large(Aes256),
}

impl Key {
    /// A key of 16, 24 or 32 bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Key> {
        match bytes.len() {
            16 => Aes128::new_from_slice(bytes).ok().map(Key::Small),
            24 => Aes192::new_from_slice(bytes).ok().map(Key::Middle),
            32 => Aes256::new_from_slice(bytes).ok().map(Key::Large),
            _ => None,
        }
    }

    fn seal(&self, block: &mut Block) {
        let block = GenericArray::from_mut_slice(block);
        match self {
            Key::Small(key) => key.encrypt_block(block),
            Key::Middle(key) => key.encrypt_block(block),
            Key::Large(key) => key.encrypt_block(block),
        }
    }

    fn open(&self, block: &mut Block) {
        let block = GenericArray::from_mut_slice(block);
        match self {
            Key::Small(key) => key.decrypt_block(block),
            Key::Middle(key) => key.decrypt_block(block),
            Key::Large(key) => key.decrypt_block(block),
        }
    }

    fn sealed(&self, mut block: Block) -> Block {
        self.seal(&mut block);
        block
    }

    /// Encrypts in `Ecb` or, with an initialization vector to chain from, in `Cbc`. None: the data are no whole blocks, and are not padded.
    #[must_use]
    pub(crate) fn seal_blocks(&self, mut chain: Option<Block>, data: &[u8], padded: bool) -> Option<Vec<u8>> {
        let mut out = data.to_vec();
        if padded {
            let count = BLOCK - data.len() % BLOCK;
            out.resize(data.len() + count, u8::saturated(count));
        }
        let (blocks, []) = out.as_chunks_mut::<BLOCK>() else { return None };
        for block in blocks {
            if let Some(previous) = &chain {
                mix(block, previous);
            }
            self.seal(block);
            chain = chain.map(|_| *block);
        }
        Some(out)
    }

    /// The reverse of [`Key::seal_blocks`]. None: no whole blocks, or no padding.
    #[must_use]
    pub fn open_blocks(&self, mut chain: Option<Block>, data: &[u8], padded: bool) -> Option<Vec<u8>> {
        let mut out = data.to_vec();
        let (blocks, []) = out.as_chunks_mut::<BLOCK>() else { return None };
        for block in blocks {
            let sealed = *block;
            self.open(block);
            if let Some(previous) = &chain {
                mix(block, previous);
            }
            chain = chain.map(|_| sealed);
        }
        if padded {
            let count = usize::from(*out.last()?);
            let start = out.len().checked_sub(count)?;
            if count == 0 || count > BLOCK || !out.iter().skip(start).all(|byte| usize::from(*byte) == count) {
                return None;
            }
            out.truncate(start);
        }
        Some(out)
    }

    /// Encrypts or decrypts with feedback of so many bits.
    pub(crate) fn feedback(&self, bits: u8, mut state: Block, data: &mut [u8], seal: bool) {
        match bits {
            1 => self.feed_bits(state, data, seal),
            8 => {
                for byte in data {
                    let [first, ..] = self.sealed(state);
                    let given = *byte;
                    *byte ^= first;
                    state.rotate_left(1);
                    state[BLOCK - 1] = if seal { *byte } else { given };
                }
            }
            _ => {
                for part in data.chunks_mut(BLOCK) {
                    let stream = self.sealed(state);
                    for ((byte, key), next) in part.iter_mut().zip(stream).zip(&mut state) {
                        let given = *byte;
                        *byte ^= key;
                        *next = if seal { *byte } else { given };
                    }
                }
            }
        }
    }

    fn feed_bits(&self, state: Block, data: &mut [u8], seal: bool) {
        let mut state = u128::from_be_bytes(state);
        for byte in data {
            for place in (0..8).rev() {
                let [first, ..] = self.sealed(state.to_be_bytes());
                let given = *byte >> place & 1;
                let result = given ^ first >> 7;
                *byte = *byte & !(1 << place) | result << place;
                state = state << 1 | u128::from(if seal { result } else { given });
            }
        }
    }

    /// Output feedback; the same both ways.
    pub(crate) fn output_feedback(&self, mut state: Block, data: &mut [u8]) {
        for part in data.chunks_mut(BLOCK) {
            self.seal(&mut state);
            mix(part, &state);
        }
    }

    /// A counter of all 128 bits; the same both ways.
    pub fn counter(&self, state: Block, data: &mut [u8]) {
        let mut count = u128::from_be_bytes(state);
        for part in data.chunks_mut(BLOCK) {
            mix(part, &self.sealed(count.to_be_bytes()));
            count = count.wrapping_add(1);
        }
    }

    /// Encrypts with a tag.
    #[must_use]
    pub(crate) fn seal_tagged(&self, iv: &[u8], data: &[u8], extra: &[u8]) -> (Vec<u8>, Block) {
        let (mut out, start) = (data.to_vec(), self.first_count(iv));
        self.short_counter(start, &mut out);
        let tag = self.tag(start, &out, extra);
        (out, tag)
    }

    /// Decrypts if the tag is right.
    #[must_use]
    pub(crate) fn open_tagged(&self, iv: &[u8], data: &[u8], extra: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
        let start = self.first_count(iv);
        let expected = self.tag(start, data, extra);
        // In a time that does not tell where they differ.
        let differ = expected.iter().zip(tag).fold(0, |sum, (a, b)| sum | a ^ b);
        if tag.len() != BLOCK || differ != 0 {
            return None;
        }
        let mut out = data.to_vec();
        self.short_counter(start, &mut out);
        Some(out)
    }

    fn hash(&self) -> GHash {
        GHash::new(&GenericArray::from(self.sealed([0; BLOCK])))
    }

    fn first_count(&self, iv: &[u8]) -> Block {
        let mut block = [0; BLOCK];
        if iv.len() == 12 {
            block[..12].copy_from_slice(iv);
            block[BLOCK - 1] = 1;
            return block;
        }
        let mut hash = self.hash();
        hash.update_padded(iv);
        hash.update(&[GenericArray::from(lengths(0, iv.len()))]);
        hash.finalize().into()
    }

    /// A counter of the last 32 bits, which begins behind `start`.
    fn short_counter(&self, start: Block, data: &mut [u8]) {
        let [head @ .., a, b, c, d] = start;
        let head: [u8; 12] = head;
        let mut count = u32::from_be_bytes([a, b, c, d]);
        for part in data.chunks_mut(BLOCK) {
            count = count.wrapping_add(1);
            let mut block = [0; BLOCK];
            block[..12].copy_from_slice(&head);
            block[12..].copy_from_slice(&count.to_be_bytes());
            mix(part, &self.sealed(block));
        }
    }

    fn tag(&self, start: Block, sealed: &[u8], extra: &[u8]) -> Block {
        let mut hash = self.hash();
        hash.update_padded(extra);
        hash.update_padded(sealed);
        hash.update(&[GenericArray::from(lengths(extra.len(), sealed.len()))]);
        let mut tag: Block = hash.finalize().into();
        mix(&mut tag, &self.sealed(start));
        tag
    }
}

/// Two lengths in bits.
fn lengths(a: usize, b: usize) -> Block {
    (((a as u128 * 8) << 64) | (b as u128 * 8)).to_be_bytes()
}

fn mix(data: &mut [u8], key: &Block) {
    for (byte, key) in data.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("digits")).collect()
    }

    // NIST SP 800-38A, appendix F.
    const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    fn key() -> Key {
        Key::new(&hex(KEY)).expect("a key")
    }

    fn iv() -> Block {
        hex("000102030405060708090a0b0c0d0e0f").try_into().expect("a block")
    }

    #[test]
    fn blocks() {
        let (key, plain) = (key(), hex(PLAIN));
        let ecb = key.seal_blocks(None, &plain, false).expect("whole blocks");
        assert_eq!(ecb, hex("3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"));
        let cbc = key.seal_blocks(Some(iv()), &plain, false).expect("whole blocks");
        assert_eq!(cbc, hex("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"));
        assert_eq!(key.open_blocks(Some(iv()), &cbc, false), Some(plain.clone()));
        let padded = key.seal_blocks(Some(iv()), b"odd", true).expect("padded");
        assert_eq!(key.open_blocks(Some(iv()), &padded, true), Some(b"odd".to_vec()));
        assert_eq!((key.seal_blocks(Some(iv()), b"odd", false), key.open_blocks(Some(iv()), &cbc, true)), (None, None));
    }

    #[test]
    fn streams() {
        let key = key();
        let run = |f: &dyn Fn(&mut [u8])| {
            let mut data = hex(PLAIN);
            f(&mut data);
            data
        };
        let cfb = run(&|data| key.feedback(128, iv(), data, true));
        assert_eq!(cfb, hex("3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"));
        let short = run(&|data| key.feedback(8, iv(), data, true));
        assert_eq!(short[..18], hex("3b79424c9c0dd436bace9e0ed4586a4f32b9"));
        let bits = run(&|data| key.feedback(1, iv(), data, true));
        assert_eq!(bits[..2], hex("68b3"));
        for (sealed, width) in [(cfb, 128), (short, 8), (bits, 1)] {
            let mut data = sealed;
            key.feedback(width, iv(), &mut data, false);
            assert_eq!(data, hex(PLAIN));
        }
        let ofb = run(&|data| key.output_feedback(iv(), data));
        assert_eq!(ofb, hex("3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825"));
        let start = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().expect("a block");
        let ctr = run(&|data| key.counter(start, data));
        assert_eq!(ctr, hex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"));
    }

    #[test]
    fn tags() {
        // The GCM specification's test cases 4 and 5.
        let key = Key::new(&hex("feffe9928665731c6d6a8f9467308308")).expect("a key");
        let plain =
            hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
        let extra = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let (sealed, tag) = key.seal_tagged(&hex("cafebabefacedbaddecaf888"), &plain, &extra);
        assert_eq!(sealed[..16], hex("42831ec2217774244b7221b784d0d49c"));
        assert_eq!(tag.to_vec(), hex("5bc94fbc3221a5db94fae95ae7121a47"));
        let (_, other) = key.seal_tagged(&hex("cafebabefacedbad"), &plain, &extra);
        assert_eq!(other.to_vec(), hex("3612d2e79e3b0785561be14aaca2fccb"));
        assert_eq!(key.open_tagged(&hex("cafebabefacedbaddecaf888"), &sealed, &extra, &tag), Some(plain));
        assert_eq!(key.open_tagged(&hex("cafebabefacedbaddecaf888"), &sealed, &extra, &other), None);
    }
}
