//! Atoms that contain durations: `mvhd`, `tkhd`, `mdhd`.

use super::{Mp4Error, long, number, of};

/// The times of an atom: where its duration stands, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Units a second; 0 in `tkhd`, which counts in the film's.
    pub scale: u32,
    /// In units.
    pub duration: u64,
    /// Where the duration stands.
    at: usize,
    wide: bool,
}

/// Which atom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Film,
    Track,
    Media,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Film => "mvhd",
            Kind::Track => "tkhd",
            Kind::Media => "mdhd",
        }
    }

    /// The least size, of version 0 and of later ones.
    fn least(self) -> (usize, usize) {
        match self {
            Kind::Film => (100, 112),
            Kind::Track => (84, 96),
            Kind::Media => (24, 36),
        }
    }
}

impl Times {
    /// Reads the times of an atom's content.
    pub(super) fn read(kind: Kind, content: &[u8]) -> Result<Times, Mp4Error> {
        let wide = content.first().is_some_and(|version| *version != 0);
        let (narrow_least, wide_least) = kind.least();
        if content.len() < if wide { wide_least } else { narrow_least } {
            return of(format!("mp4 {} atom too small", kind.name()));
        }
        // Version and flags, then two dates; `tkhd` has its number and four bytes for nothing, the others their scale.
        let behind_dates = if wide { 20 } else { 12 };
        let at = behind_dates + if kind == Kind::Track { 8 } else { 4 };
        let scale = if kind == Kind::Track { Some(0) } else { number(content, behind_dates) };
        let duration = if wide { long(content, at) } else { number(content, at).map(u64::from) };
        match (scale, duration) {
            (Some(scale), Some(duration)) => Ok(Times { scale, duration, at, wide }),
            _ => of(format!("mp4 {} atom too small", kind.name())),
        }
    }

    /// Appends the content with another duration.
    pub(super) fn push(&self, content: &[u8], duration: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(content);
        let place = out.get_mut(start + self.at..).unwrap_or_default();
        if self.wide {
            if let Some(place) = place.first_chunk_mut::<8>() {
                *place = duration.to_be_bytes();
            }
        } else if let Some(place) = place.first_chunk_mut::<4>() {
            *place = u32::try_from(duration).unwrap_or(u32::MAX).to_be_bytes();
        }
    }
}

/// Milliseconds in units of a scale.
pub(super) fn units(ms: u64, scale: u32) -> u64 {
    ms.saturating_mul(u64::from(scale)) / 1000
}

/// What is left of a duration behind `start` ms, at most `length` ms of it, if that is not 0; `None`: nothing of it.
pub(super) fn remaining(duration: u64, scale: u32, start: u64, length: u64) -> Option<u64> {
    let left = duration.checked_sub(units(start, scale))?;
    Some(if length == 0 { left } else { left.min(units(length, scale)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        for (kind, sizes) in [(Kind::Film, [100, 112]), (Kind::Track, [84, 96]), (Kind::Media, [24, 36])] {
            for (version, size) in sizes.into_iter().enumerate() {
                let mut content = vec![0; size];
                content[0] = version as u8;
                let times = Times::read(kind, &content).unwrap();
                let mut out = b"x".to_vec();
                times.push(&content, 1_000_000, &mut out);
                let again = Times::read(kind, &out[1..]).unwrap();
                assert_eq!((again.duration, again.scale, out.len()), (1_000_000, 0, size + 1));
                content.pop();
                assert!(Times::read(kind, &content).is_err());
            }
        }
    }

    #[test]
    fn what_is_left() {
        assert_eq!(remaining(5000, 100, 10_000, 0), Some(4000));
        assert_eq!(remaining(5000, 100, 10_000, 1000), Some(100));
        assert_eq!(remaining(5000, 100, 50_000, 0), Some(0));
        assert_eq!(remaining(5000, 100, 50_010, 0), None);
        assert_eq!(remaining(5000, 100, u64::MAX, 0), None);
    }
}
