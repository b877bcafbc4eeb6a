//! Compressors that are used again: a fresh one has some hundred kilobytes to allocate and to clear, more work than packing a
//! small page; and one that is used again still has its tables to clear. Short bodies are packed whole by what clears nothing.

use super::short::{self, ShortEncoder};
use crate::content_coding::{Coding, Encoder};
use crate::marks;
use flate2::{Compress, Compression, FlushCompress, Status};
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// Compressors that a worker keeps while nobody uses them.
const KEPT: usize = 4;

/// How much room for output there is at least.
const ROOM: usize = 4096;

/// A worker's compressors.
#[derive(Default)]
pub(super) struct Compressors {
    pool: Rc<Pool>,
}

/// What compressors are made of, while nobody uses it.
#[derive(Default)]
struct Pool {
    free: RefCell<Vec<Stream>>,
    short: RefCell<ShortEncoder>,
    buffered: RefCell<Vec<u8>>,
}

/// The compressor of one body.
pub(super) struct Compressor {
    pool: Rc<Pool>,
    settings: Settings,
    length: Option<u64>,
    work: Work,
}

enum Work {
    /// Bytes that may be all of a short body.
    Buffered(Vec<u8>),
    Stream(Stream),
}

/// A compressor for bodies of any length, with what its memory depends on.
struct Stream {
    inner: Compress,
    level: u32,
    window: u8,
}

/// The logarithm of the largest window that there is.
pub(super) const LARGEST_WINDOW: u8 = 15;

/// How a response is compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) level: u32,
    /// The logarithm of the largest window, 9 to 15.
    pub(super) window: u8,
}

/// The logarithm of the smallest window for a body of this length, as nginx chooses it: a shorter one costs less memory.
fn window_for(most: u8, length: Option<u64>) -> u8 {
    let mut window = most;
    while window > 9 && length.is_some_and(|length| length < (1 << (window - 1)) - 262) {
        window -= 1;
    }
    window
}

impl Coding for Compressors {
    const NAME: &'static str = "gzip";
    const ENCODER: &'static str = "gzip";
    const MARK: u32 = marks::GZIP;
    type Settings = Settings;
    type Encoder = Compressor;

    fn take(&self, settings: Settings, length: Option<u64>) -> Compressor {
        let pool = Rc::clone(&self.pool);
        let work = if length.is_none_or(|length| length <= settings.longest_short()) {
            Work::Buffered(self.pool.buffered.take())
        } else {
            Work::Stream(pool.stream(settings, length))
        };
        Compressor { pool, settings, length, work }
    }

    fn put(&self, compressor: Compressor) {
        match compressor.work {
            Work::Buffered(mut buffered) => {
                buffered.clear();
                self.pool.buffered.replace(buffered);
            }
            Work::Stream(stream) => self.pool.put(stream),
        }
    }

    fn settings_key(Settings { level, window }: Settings) -> usize {
        // Other codings stay below 1024.
        usize::from(window) << 10 | level as usize
    }
}

impl Settings {
    /// The longest body whose repetitions are all within the window, and which is packed whole.
    fn longest_short(self) -> u64 {
        (short::LONGEST as u64).min(1 << self.window)
    }
}

impl Pool {
    /// A compressor for a body of this length, if that is known.
    fn stream(&self, Settings { level, window }: Settings, length: Option<u64>) -> Stream {
        let window = window_for(window, length);
        let mut free = self.free.borrow_mut();
        match free.iter().position(|c| c.level == level && c.window == window) {
            Some(index) => {
                let mut again = free.swap_remove(index);
                again.inner.reset();
                again
            }
            None => Stream { inner: Compress::new_gzip(Compression::new(level), window), level, window },
        }
    }

    fn put(&self, stream: Stream) {
        let mut free = self.free.borrow_mut();
        if free.len() >= KEPT {
            free.remove(0);
        }
        free.push(stream);
    }
}

impl Encoder for Compressor {
    fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        if let Work::Buffered(buffered) = &mut self.work
            && (buffered.len() + data.len()) as u64 <= self.settings.longest_short()
        {
            buffered.extend_from_slice(data);
            return Ok(());
        }
        self.stream(out)?.run(data, out, FlushCompress::None)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.stream(out)?.run(&[], out, FlushCompress::Sync)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.work {
            Work::Buffered(buffered) => {
                self.pool.short.borrow_mut().pack(buffered, self.settings.level, out);
                Ok(())
            }
            Work::Stream(stream) => stream.run(&[], out, FlushCompress::Finish),
        }
    }
}

impl Compressor {
    /// What packs bodies that are not short; what was buffered is written to it.
    fn stream(&mut self, out: &mut Vec<u8>) -> io::Result<&mut Stream> {
        if let Work::Buffered(buffered) = &mut self.work {
            let buffered = std::mem::take(buffered);
            let mut stream = self.pool.stream(self.settings, self.length);
            stream.run(&buffered, out, FlushCompress::None)?;
            self.work = Work::Stream(stream);
        }
        match &mut self.work {
            Work::Stream(stream) => Ok(stream),
            Work::Buffered(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Stream {
    fn run(&mut self, mut data: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> io::Result<()> {
        loop {
            if out.capacity() - out.len() < ROOM {
                out.reserve(2 * ROOM);
            }
            let before = self.inner.total_in();
            let status = self.inner.compress_vec(data, out, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(self.inner.total_in() - before).unwrap_or(usize::MAX);
            data = data.get(taken..).unwrap_or_default();
            // Room that is left says that nothing is held back for want of it.
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => data.is_empty() && out.len() < out.capacity(),
            };
            if done {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content_coding::check_pieces;
    use std::io::Read;

    fn of(level: u32) -> Settings {
        Settings { level, window: LARGEST_WINDOW }
    }

    fn packed(compressors: &Compressors, text: &[u8], length: Option<u64>) -> Vec<u8> {
        let (mut compressor, mut out) = (compressors.take(of(2), length), Vec::new());
        for piece in text.chunks(7000) {
            compressor.write(piece, &mut out).unwrap();
        }
        compressor.finish(&mut out).unwrap();
        compressors.put(compressor);
        out
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_packed_in_pieces_unpacks_whole() {
        check_pieces::<Compressors>(of(2), |packed| {
            let mut text = Vec::new();
            let _ = flate2::read::GzDecoder::new(packed).read_to_end(&mut text);
            text
        });
    }

    #[test]
    fn windows_are_as_large_as_the_body_needs() {
        for (length, window) in
            [(None, 15), (Some(0), 9), (Some(249), 9), (Some(250), 10), (Some(20_480), 15), (Some(16_000), 14), (Some(u64::MAX), 15)]
        {
            assert_eq!(window_for(LARGEST_WINDOW, length), window, "{length:?}");
            assert_eq!(window_for(10, length), window.min(10), "{length:?}");
        }
    }

    #[test]
    fn a_compressor_that_was_used_packs_as_a_fresh_one() {
        let compressors = Compressors::default();
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| (n * n % 977).to_string().into_bytes()).collect();
        let first = packed(&compressors, &text, None);
        assert_eq!(unpacked(&first), text);
        let mut left = compressors.take(of(2), None);
        left.write(&[b'x'; 9000], &mut Vec::new()).unwrap();
        compressors.put(left);
        assert_eq!(packed(&compressors, &text, None), first);
        assert_eq!(compressors.pool.free.borrow().len(), 1);
        for length in [10, 300, 3000, 9000, 20_000, 39_000] {
            let text = text.get(..length as usize).unwrap();
            assert_eq!(unpacked(&packed(&compressors, text, Some(length))), text);
        }
        assert_eq!(compressors.pool.free.borrow().len(), 2, "short bodies need none");
        let many: Vec<Compressor> = (1..=9).map(|level| compressors.take(of(level), Some(9000))).collect();
        many.into_iter().for_each(|compressor| compressors.put(compressor));
        assert_eq!(compressors.pool.free.borrow().len(), KEPT);
    }

    #[test]
    fn a_flush_brings_out_all_that_was_written_whatever_its_length() {
        let compressors = Compressors::default();
        let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let (mut compressor, mut out) = (compressors.take(of(6), None), Vec::new());
        compressor.write(&noise, &mut out).unwrap();
        compressor.flush(&mut out).unwrap();
        let mut text = vec![0; noise.len()];
        flate2::read::GzDecoder::new(&out[..]).read_exact(&mut text).unwrap();
        assert!(text == noise);
    }
}
