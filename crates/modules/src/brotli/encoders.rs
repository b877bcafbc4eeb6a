//! The encoder, from the crate `brotli`.

use super::tables::Tables;
use crate::content_coding::{Coding, Encoder};
use crate::marks;
use brotli::enc::encode::{BrotliEncoderDestroyInstance, BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use std::io;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// 0 to 11.
    pub(super) level: u32,
    /// The logarithm of the largest window, 10 to 24.
    pub(super) window: u32,
}

/// What a worker's encoders have in common.
#[derive(Default)]
pub(super) struct Encoders {
    tables: Tables,
}

/// One stream under way.
pub(super) struct BrotliEncoder(Box<BrotliEncoderStateStruct<Tables>>);

/// The logarithm of the window for a body of this length: as small as it can be, since a longer one costs memory.
fn window_for(Settings { level, window }: Settings, length: Option<u64>) -> u32 {
    // With less these levels use tables of 32 MiB instead of one to 16.
    let least = if (5..9).contains(&level) { 17 } else { 10 };
    let enough = match length {
        Some(length) => (10..window).find(|bits| length <= 1 << bits).unwrap_or(window),
        None => window,
    };
    enough.max(least)
}

impl Coding for Encoders {
    const NAME: &'static str = "br";
    const ENCODER: &'static str = "brotli";
    const MARK: u32 = marks::BROTLI;
    type Settings = Settings;
    type Encoder = BrotliEncoder;

    fn take(&self, settings: Settings, length: Option<u64>) -> BrotliEncoder {
        let mut state = Box::new(BrotliEncoderStateStruct::new(self.tables.of_level(settings.level)));
        // Both are taken by an encoder that has not begun.
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, settings.level);
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window_for(settings, length));
        BrotliEncoder(state)
    }

    fn put(&self, encoder: BrotliEncoder) {
        drop(encoder);
    }

    fn settings_key(Settings { level, window }: Settings) -> usize {
        // gzip's are from 1024 on.
        (level * 32 + window) as usize
    }
}

impl Drop for BrotliEncoder {
    fn drop(&mut self) {
        BrotliEncoderDestroyInstance(&mut self.0);
    }
}

impl Encoder for BrotliEncoder {
    fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.run(data, out, BrotliEncoderOperation::BROTLI_OPERATION_PROCESS)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.run(&[], out, BrotliEncoderOperation::BROTLI_OPERATION_FLUSH)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.run(&[], out, BrotliEncoderOperation::BROTLI_OPERATION_FINISH)
    }
}

impl BrotliEncoder {
    fn run(&mut self, data: &[u8], out: &mut Vec<u8>, operation: BrotliEncoderOperation) -> io::Result<()> {
        let (mut left, mut at) = (data.len(), 0);
        loop {
            // What comes out is taken from the encoder's own memory.
            let (mut room, mut put) = (0, 0);
            let ok =
                self.0.compress_stream(operation, &mut left, data, &mut at, &mut room, &mut [], &mut put, &mut None, &mut |_, _, _, _| ());
            if !ok {
                return Err(io::Error::other("the encoder refused"));
            }
            if !self.0.has_more_output() && left == 0 {
                return Ok(());
            }
            while self.0.has_more_output() {
                let mut size = 0;
                let made = self.0.take_output(&mut size);
                out.extend_from_slice(made.get(..size).unwrap_or(made));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content_coding::check_pieces;
    use std::io::Read;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        // A stream that is not over ends in an error, behind all that it has.
        let _ = brotli::Decompressor::new(packed, 4096).read_to_end(&mut text);
        text
    }

    fn packed(encoders: &Encoders, text: &[u8], settings: Settings, length: Option<u64>) -> Vec<u8> {
        let (mut encoder, mut out) = (encoders.take(settings, length), Vec::new());
        for piece in text.chunks(7000) {
            encoder.write(piece, &mut out).unwrap();
        }
        encoder.finish(&mut out).unwrap();
        encoders.put(encoder);
        out
    }

    fn text(length: u32) -> Vec<u8> {
        (0..length).flat_map(|n| (n.wrapping_mul(n) % 977).to_string().into_bytes()).collect()
    }

    #[test]
    fn what_is_packed_in_pieces_unpacks_whole() {
        for level in 0..=11 {
            check_pieces::<Encoders>(Settings { level, window: 19 }, unpacked);
        }
    }

    #[test]
    fn windows_are_as_large_as_the_body_needs() {
        let window = |level, most, length| window_for(Settings { level, window: most }, length);
        for (length, expected) in [(None, 19), (Some(0), 10), (Some(1024), 10), (Some(1025), 11), (Some(1 << 19), 19), (Some(u64::MAX), 19)]
        {
            assert_eq!(window(4, 19, length), expected, "{length:?}");
            assert_eq!(window(6, 19, length), expected.max(17), "{length:?}");
        }
        assert_eq!((window(11, 10, None), window(5, 10, None), window(9, 10, None)), (10, 17, 10));
    }

    #[test]
    fn a_table_that_was_used_packs_as_a_fresh_one() {
        let text = text(20_000);
        for level in [2, 5, 6] {
            let (encoders, settings) = (Encoders::default(), Settings { level, window: 19 });
            let first = packed(&encoders, &text, settings, None);
            assert!(unpacked(&first) == text);
            let mut left = encoders.take(settings, None);
            left.write(&text, &mut Vec::new()).unwrap();
            encoders.put(left);
            assert!(packed(&encoders, &text, settings, None) == first, "{level}");
            let length = text.len() as u64;
            assert!(unpacked(&packed(&encoders, &text, settings, Some(length))) == text, "{level}");
        }
    }

    #[test]
    fn a_flush_brings_out_all_that_was_written_whatever_its_length() {
        let encoders = Encoders::default();
        let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for level in [0, 1, 4, 6] {
            let (mut encoder, mut out) = (encoders.take(Settings { level, window: 19 }, None), Vec::new());
            for end in [3, 70_000, noise.len()] {
                let done = unpacked(&out).len();
                encoder.write(noise.get(done..end).unwrap(), &mut out).unwrap();
                encoder.flush(&mut out).unwrap();
                assert!(unpacked(&out) == noise.get(..end).unwrap(), "{level}");
                let before = out.len();
                encoder.flush(&mut out).unwrap();
                assert_eq!(out.len(), before, "nothing was written");
            }
        }
    }
}
