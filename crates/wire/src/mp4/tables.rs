//! Tables of a track, restricted to a run of samples.

use super::{Mp4Error, number, of, within};

/// A table's entries of `size` bytes each, behind `before` bytes, the last four of which are their number.
pub(super) fn entries<'a>(content: &'a [u8], name: &str, before: usize, size: usize) -> Result<&'a [u8], Mp4Error> {
    let small = || Mp4Error::Of(format!("mp4 {name} atom too small"));
    let count = number(content, before - 4).ok_or_else(small)? as usize;
    let table = content.get(before..).and_then(|rest| rest.get(..count.checked_mul(size)?));
    table.ok_or_else(small)
}

/// The numbers of a table, `N` an entry.
pub(super) fn numbers<const N: usize>(table: &[u8]) -> impl Iterator<Item = [u32; N]> + '_ {
    table.chunks_exact(4 * N).map(|entry| std::array::from_fn(|i| number(entry, 4 * i).unwrap_or_default()))
}

/// The sample that is played at a moment (`stts`), and when it begins; `None`: none is.
pub(super) fn sample_at(durations: &[u8], moment: u64) -> Option<u64> {
    let (mut sample, mut left) = (0, moment);
    for [count, duration] in numbers(durations) {
        let whole = u64::from(count) * u64::from(duration);
        if left < whole {
            return Some(sample + left / u64::from(duration).max(1));
        }
        (sample, left) = (sample + u64::from(count), left - whole);
    }
    None
}

/// How many samples there are.
pub(super) fn samples(durations: &[u8]) -> u64 {
    numbers(durations).map(|[count, _]| u64::from(count)).sum()
}

/// When a sample begins.
pub(super) fn begin_of(durations: &[u8], sample: u64) -> u64 {
    let (mut left, mut moment) = (sample, 0u64);
    for [count, duration] in numbers(durations) {
        let here = left.min(u64::from(count));
        moment = moment.saturating_add(here * u64::from(duration));
        left -= here;
    }
    moment
}

/// Of a table of runs, each a count of samples and something about them, those of the samples from `start` to before `end`.
pub(super) fn runs(table: &[u8], start: u64, end: u64) -> Vec<[u32; 2]> {
    let (mut first, mut kept) = (0u64, Vec::new());
    for [count, value] in numbers(table) {
        let last = first + u64::from(count);
        let here = last.min(end).saturating_sub(first.max(start));
        if let Some(count) = u32::try_from(here).ok().filter(|count| *count > 0) {
            kept.push([count, value]);
        }
        first = last;
    }
    kept
}

/// The last sample before or at `sample` from which playing can begin (`stss` counts from 1).
pub(super) fn key_frame(table: &[u8], sample: u64) -> Result<u64, Mp4Error> {
    let mut found = None;
    for [key] in numbers(table) {
        let Some(key) = u64::from(key).checked_sub(1) else { return within("zero sync sample") };
        if key > sample {
            break;
        }
        found = Some(key);
    }
    Ok(found.unwrap_or(sample))
}

/// A run of chunks that have the same number of samples (`stsc`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// The first one, from 0.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Samples in each.
    pub samples: u32,
    /// Which description they have.
    pub id: u32,
}

/// The runs of `chunks` chunks.
pub(super) fn chunks(table: &[u8], chunks: u64) -> Result<Vec<Chunks>, Mp4Error> {
    let mut all: Vec<Chunks> = Vec::new();
    for [first, samples, id] in numbers(table) {
        let Some(first) = u64::from(first).checked_sub(1) else { return within("zero chunk") };
        if samples == 0 {
            return within("zero number of samples");
        }
        if let Some(last) = all.last_mut() {
            match first.checked_sub(last.first) {
                Some(count) => last.count = count,
                None => return within("unordered mp4 stsc chunks"),
            }
        }
        all.push(Chunks { first, count: 0, samples, id });
    }
    match all.last_mut() {
        None => within("zero number of entries in stsc atom"),
        Some(last) => match chunks.checked_sub(last.first) {
            Some(count) => {
                last.count = count;
                Ok(all)
            }
            None => within("unordered mp4 stsc chunks"),
        },
    }
}

/// A place among chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkPosition {
    /// The chunk, from 0.
    pub chunk: u64,
    /// Samples of the chunk before the place.
    pub before: u64,
}

/// The chunk that a sample is in; behind the last one, the chunk that would follow.
pub(super) fn place(all: &[Chunks], sample: u64, which: &str) -> Result<ChunkPosition, Mp4Error> {
    let mut left = sample;
    for run in all {
        let samples = run.count * u64::from(run.samples);
        if left < samples {
            return Ok(ChunkPosition { chunk: run.first + left / u64::from(run.samples), before: left % u64::from(run.samples) });
        }
        left -= samples;
    }
    match all.last() {
        Some(last) if left == 0 => Ok(ChunkPosition { chunk: last.first + last.count, before: 0 }),
        _ => within(format!("{which} time is out mp4 stsc chunks")),
    }
}

/// How many samples a chunk has.
pub(super) fn samples_of(all: &[Chunks], chunk: u64) -> u64 {
    let run = all.iter().find(|run| chunk >= run.first && chunk - run.first < run.count);
    run.map_or(0, |run| u64::from(run.samples))
}

/// The entries of a table for what lies between two places, whose chunks then begin with number 1.
pub(super) fn cut_chunks(all: &[Chunks], start: ChunkPosition, end: ChunkPosition) -> Vec<[u32; 3]> {
    let mut table: Vec<[u32; 3]> = Vec::new();
    let mut push = |chunk: u64, samples: u64, id: u32| {
        let (first, samples) = (u32::try_from(chunk + 1).unwrap_or(u32::MAX), u32::try_from(samples).unwrap_or(u32::MAX));
        if samples > 0 && table.last().is_none_or(|[_, last, last_id]| (*last, *last_id) != (samples, id)) {
            table.push([first, samples, id]);
        }
    };
    let behind = end.chunk + u64::from(end.before > 0);
    for run in all {
        let (from, to) = (run.first.max(start.chunk), (run.first + run.count).min(behind));
        if from >= to {
            continue;
        }
        let samples_in = |chunk: u64| {
            let last = if chunk == end.chunk { end.before } else { u64::from(run.samples) };
            last.saturating_sub(if chunk == start.chunk { start.before } else { 0 })
        };
        // Only the first and the last chunk can differ from the others of their run.
        for chunk in [from, from + 1, to - 1] {
            if chunk < to {
                push(chunk - start.chunk, samples_in(chunk), run.id);
            }
        }
    }
    table
}

/// Sizes of samples (`stsz`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes<'a> {
    uniform: u32,
    count: u64,
    table: &'a [u8],
}

impl<'a> Sizes<'a> {
    pub(super) fn read(content: &'a [u8]) -> Result<Sizes<'a>, Mp4Error> {
        let (Some(uniform), Some(count)) = (number(content, 4), number(content, 8)) else { return of("mp4 stsz atom too small") };
        let table = if uniform == 0 { entries(content, "stsz", 12, 4)? } else { &[] };
        Ok(Sizes { uniform, count: u64::from(count), table })
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of the samples from `start` to before `end`.
    pub(super) fn sum(&self, start: u64, end: u64) -> u64 {
        if self.uniform > 0 {
            return end.saturating_sub(start).saturating_mul(u64::from(self.uniform));
        }
        numbers(self.slice(start, end)).map(|[size]| u64::from(size)).sum()
    }

    /// The table's part.
    fn slice(&self, start: u64, end: u64) -> &'a [u8] {
        let at = |sample: u64| usize::try_from(sample.min(self.count)).unwrap_or_default() * 4;
        self.table.get(at(start)..at(end)).unwrap_or_default()
    }

    /// Appends the content of an atom for the samples from `start` to before `end`.
    pub(super) fn push(&self, start: u64, end: u64, out: &mut Vec<u8>) {
        let count = u32::try_from(end.min(self.count).saturating_sub(start)).unwrap_or(u32::MAX);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.uniform.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(self.slice(start, end));
    }
}

/// Appends the content of a table's atom: version and flags, which are 0, the number of entries, the entries.
pub(super) fn push<const N: usize>(table: &[[u32; N]], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&u32::try_from(table.len()).unwrap_or(u32::MAX).to_be_bytes());
    for value in table.iter().flatten() {
        out.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    #[test]
    fn samples_by_time() {
        let durations = table(&[10, 100, 0, 7, 5, 0, 2, 50]);
        let cases = [(0, Some(0)), (99, Some(0)), (100, Some(1)), (999, Some(9)), (1000, Some(15)), (1099, Some(16)), (1100, None)];
        for (moment, sample) in cases {
            assert_eq!(sample_at(&durations, moment), sample, "{moment}");
        }
        assert_eq!((samples(&durations), begin_of(&durations, 3), begin_of(&durations, 16)), (17, 300, 1050));
        assert_eq!(runs(&durations, 8, 16), [[2, 100], [5, 0], [1, 50]]);
        assert_eq!(runs(&durations, 3, 3), Vec::<[u32; 2]>::new());
    }

    #[test]
    fn key_frames() {
        let keys = table(&[1, 5, 9]);
        assert_eq!([0, 3, 4, 7, 100].map(|sample| key_frame(&keys, sample).unwrap()), [0, 0, 4, 4, 8]);
        assert_eq!(key_frame(&table(&[5]), 2), Ok(2));
        assert!(key_frame(&table(&[0]), 2).is_err());
    }

    #[test]
    fn parts_of_chunks() {
        // Three chunks of 4 samples, two of 2: samples 0 to 15.
        let all = chunks(&table(&[1, 4, 1, 4, 2, 1]), 5).unwrap();
        let at = |sample| place(&all, sample, "start");
        assert_eq!(at(0), Ok(ChunkPosition { chunk: 0, before: 0 }));
        assert_eq!(at(5), Ok(ChunkPosition { chunk: 1, before: 1 }));
        assert_eq!(at(15), Ok(ChunkPosition { chunk: 4, before: 1 }));
        assert_eq!(at(16), Ok(ChunkPosition { chunk: 5, before: 0 }));
        assert!(at(17).is_err());
        let cut = |start, end| cut_chunks(&all, at(start).unwrap(), at(end).unwrap());
        assert_eq!(cut(0, 16), [[1, 4, 1], [4, 2, 1]]);
        assert_eq!(cut(5, 16), [[1, 3, 1], [2, 4, 1], [3, 2, 1]]);
        assert_eq!(cut(5, 7), [[1, 2, 1]]);
        assert_eq!(cut(5, 15), [[1, 3, 1], [2, 4, 1], [3, 2, 1], [4, 1, 1]]);
        assert_eq!(cut(2, 8), [[1, 2, 1], [2, 4, 1]]);
        assert_eq!(cut(5, 5), Vec::<[u32; 3]>::new());
        assert_eq!((samples_of(&all, 2), samples_of(&all, 3), samples_of(&all, 5)), (4, 2, 0));
        for bad in [&[1, 0, 1][..], &[0, 1, 1], &[2, 1, 1, 1, 1, 1], &[9, 1, 1], &[]] {
            assert!(chunks(&table(bad), 5).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes() {
        let mut content = table(&[0, 0, 3, 10, 20, 30]);
        let all = Sizes::read(&content).unwrap();
        assert_eq!((all.sum(0, 3), all.sum(1, 2), all.sum(2, 9), all.sum(3, 1)), (60, 20, 30, 0));
        let mut out = Vec::new();
        all.push(1, 3, &mut out);
        assert_eq!(out, table(&[0, 0, 2, 20, 30]));
        let uniform = table(&[0, 5, 100]);
        let all = Sizes::read(&uniform).unwrap();
        out.clear();
        all.push(10, 40, &mut out);
        assert_eq!((all.sum(10, 40), out), (150, table(&[0, 5, 30])));
        content.pop();
        assert!(Sizes::read(&content).is_err());
    }
}
