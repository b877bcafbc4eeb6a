//! A track: the atoms of `trak`, and its selected part.

use super::moments::{self, Kind, Times, remaining, units};
use super::selection::Clip;
use super::tables::{self, ChunkPosition, Chunks, Sizes, entries};
use super::{Mp4Error, atom, for_each_atom, long, number, set_once, within};

/// The content of the atoms that are kept.
#[derive(Default)]
pub(super) struct Track<'a> {
    tkhd: Option<&'a [u8]>,
    mdia: Option<&'a [u8]>,
    mdhd: Option<&'a [u8]>,
    hdlr: Option<&'a [u8]>,
    minf: Option<&'a [u8]>,
    vmhd: Option<&'a [u8]>,
    smhd: Option<&'a [u8]>,
    dinf: Option<&'a [u8]>,
    stbl: Option<&'a [u8]>,
    stsd: Option<&'a [u8]>,
    stts: Option<&'a [u8]>,
    stss: Option<&'a [u8]>,
    ctts: Option<&'a [u8]>,
    stsc: Option<&'a [u8]>,
    stsz: Option<&'a [u8]>,
    stco: Option<&'a [u8]>,
    co64: Option<&'a [u8]>,
}

impl<'a> Track<'a> {
    /// Reads the content of a `trak`.
    pub(super) fn read(content: &'a [u8]) -> Result<Track<'a>, Mp4Error> {
        let mut track = Track::default();
        for_each_atom(content, |name, content| match &name {
            b"tkhd" => set_once(&mut track.tkhd, "tkhd", content),
            b"mdia" => {
                set_once(&mut track.mdia, "mdia", content)?;
                track.read_media(content)
            }
            _ => Ok(()),
        })?;
        Ok(track)
    }

    fn read_media(&mut self, content: &'a [u8]) -> Result<(), Mp4Error> {
        for_each_atom(content, |name, content| match &name {
            b"mdhd" => set_once(&mut self.mdhd, "mdhd", content),
            b"hdlr" => set_once(&mut self.hdlr, "hdlr", content),
            b"minf" => {
                set_once(&mut self.minf, "minf", content)?;
                self.read_information(content)
            }
            _ => Ok(()),
        })
    }

    fn read_information(&mut self, content: &'a [u8]) -> Result<(), Mp4Error> {
        for_each_atom(content, |name, content| match &name {
            b"vmhd" | b"smhd" if self.vmhd.is_some() || self.smhd.is_some() => within("duplicate mp4 vmhd/smhd atom"),
            b"vmhd" => set_once(&mut self.vmhd, "vmhd", content),
            b"smhd" => set_once(&mut self.smhd, "smhd", content),
            b"dinf" => set_once(&mut self.dinf, "dinf", content),
            b"stbl" => {
                set_once(&mut self.stbl, "stbl", content)?;
                self.read_tables(content)
            }
            _ => Ok(()),
        })
    }

    fn read_tables(&mut self, content: &'a [u8]) -> Result<(), Mp4Error> {
        for_each_atom(content, |name, content| match &name {
            b"stsd" if content.len() < 16 => super::of("mp4 stsd atom too small"),
            b"stsd" => set_once(&mut self.stsd, "stsd", content),
            b"stts" => set_once(&mut self.stts, "stts", content),
            b"stss" => set_once(&mut self.stss, "stss", content),
            b"ctts" => set_once(&mut self.ctts, "ctts", content),
            b"stsc" => set_once(&mut self.stsc, "stsc", content),
            b"stsz" => set_once(&mut self.stsz, "stsz", content),
            b"stco" | b"co64" if self.stco.is_some() || self.co64.is_some() => within("duplicate mp4 stco/co64 atom"),
            b"stco" => set_once(&mut self.stco, "stco", content),
            b"co64" => set_once(&mut self.co64, "co64", content),
            _ => Ok(()),
        })
    }
}

/// Where the chunks of a track are.
struct Offsets<'a> {
    table: &'a [u8],
    wide: bool,
}

impl<'a> Offsets<'a> {
    fn of(track: &Track<'a>) -> Result<Offsets<'a>, Mp4Error> {
        match (track.co64, track.stco) {
            (Some(content), _) => Ok(Offsets { table: entries(content, "co64", 8, 8)?, wide: true }),
            (None, Some(content)) => Ok(Offsets { table: entries(content, "stco", 8, 4)?, wide: false }),
            (None, None) => within("no mp4 stco atoms were found"),
        }
    }

    fn name(&self) -> &'static str {
        if self.wide { "co64" } else { "stco" }
    }

    fn count(&self) -> u64 {
        (self.table.len() / if self.wide { 8 } else { 4 }) as u64
    }

    fn get(&self, chunk: u64) -> Option<u64> {
        let chunk = usize::try_from(chunk).ok()?;
        if self.wide { long(self.table, chunk * 8) } else { number(self.table, chunk * 4).map(u64::from) }
    }

    /// The place in the file `samples` bytes behind the beginning of a chunk.
    fn place(&self, chunk: u64, samples: u64, file: u64) -> Result<u64, Mp4Error> {
        let place = self.get(chunk).and_then(|offset| offset.checked_add(samples));
        let most = if self.wide { file } else { file.min(u64::from(u32::MAX)) };
        place.filter(|place| *place <= most).map_or_else(|| within("too large chunk offset"), Ok)
    }
}

/// The part of a track.
pub(super) struct Part<'a> {
    track: Track<'a>,
    /// Samples that are kept: from, to before.
    samples: (u64, u64),
    places: (ChunkPosition, ChunkPosition),
    chunks: Vec<Chunks>,
    sizes: Option<Sizes<'a>>,
    offsets: Offsets<'a>,
    /// Time between the key frame that the part begins with and the moment that was asked for, in the media's units.
    prefix: u64,
    film_duration: u64,
    /// Bytes of the file: from, to before; empty where the part has no chunk.
    pub bytes: Option<(u64, u64)>,
}

/// Where a part's table of chunks stands in what was appended.
pub(super) struct OffsetTable {
    /// First byte of the first entry.
    pub at: usize,
    /// How many entries.
    pub count: usize,
    /// Eight bytes an entry instead of four.
    pub wide: bool,
}

impl<'a> Part<'a> {
    /// Works out the part; `None`: the track has ended before it begins.
    pub(super) fn of(track: Track<'a>, film_scale: u32, cut: &Clip) -> Result<Option<Part<'a>>, Mp4Error> {
        let mut film_duration = 0;
        if let Some(tkhd) = track.tkhd {
            let times = Times::read(Kind::Track, tkhd)?;
            match remaining(times.duration, film_scale, cut.start, cut.length).filter(|left| *left > 0) {
                Some(left) => film_duration = left,
                None => return Ok(None),
            }
        }
        let scale = match track.mdhd {
            Some(mdhd) => {
                let times = Times::read(Kind::Media, mdhd)?;
                if times.duration <= units(cut.start, times.scale) {
                    return Ok(None);
                }
                times.scale
            }
            None => 0,
        };
        let Some(stts) = track.stts else { return within("no mp4 stts atoms were found") };
        let stts = entries(stts, "stts", 8, 8)?;
        let (samples, prefix) = samples_in(&track, stts, scale, cut)?;
        let Some(stsc) = track.stsc else { return within("no mp4 stsc atoms were found") };
        let offsets = Offsets::of(&track)?;
        let chunks = tables::chunks(entries(stsc, "stsc", 8, 12)?, offsets.count())?;
        let last = if cut.length > 0 { Some(samples.1) } else { None };
        let places = (tables::place(&chunks, samples.0, "start")?, last_place(&chunks, &offsets, last)?);
        let sizes = track.stsz.map(Sizes::read).transpose()?;
        if let Some(sizes) = &sizes {
            if samples.0 >= sizes.count() {
                return within("start time is out mp4 stsz samples");
            }
            if last.is_some_and(|end| end > sizes.count()) {
                return within("end time is out mp4 stsz samples");
            }
        }
        if places.0.chunk >= offsets.count() {
            return within(format!("start time is out mp4 {} chunks", offsets.name()));
        }
        let mut part = Part { track, samples, places, chunks, sizes, offsets, prefix, film_duration, bytes: None };
        part.bytes = part.find_bytes(cut)?;
        Ok(Some(part))
    }

    /// The bytes of the file that hold the samples.
    fn find_bytes(&self, cut: &Clip) -> Result<Option<(u64, u64)>, Mp4Error> {
        let (start, end) = self.places;
        let sum = |from: u64, to: u64| self.sizes.as_ref().map_or(0, |sizes| sizes.sum(from, to));
        let first = self.offsets.place(start.chunk, sum(self.samples.0 - start.before, self.samples.0), cut.file_size)?;
        if cut.length == 0 {
            return Ok(Some((first, cut.data_end)));
        }
        // The last chunk that has any of the samples, and how many of its own come before the end.
        let (chunk, before) = match end.before {
            0 => (end.chunk.checked_sub(1), end.chunk.checked_sub(1).map_or(0, |chunk| tables::samples_of(&self.chunks, chunk))),
            before => (Some(end.chunk), before),
        };
        match chunk.filter(|chunk| *chunk >= start.chunk && self.samples.1 > self.samples.0) {
            Some(chunk) => {
                let last = self.offsets.place(chunk, sum(self.samples.1.saturating_sub(before), self.samples.1), cut.file_size)?;
                Ok(Some((first, last)))
            }
            None => Ok(None),
        }
    }

    /// Appends the `trak` of the part.
    pub(super) fn push(&self, cut: &Clip, out: &mut Vec<u8>) -> Result<OffsetTable, Mp4Error> {
        let track = &self.track;
        atom(out, b"trak", |out| {
            if let Some(tkhd) = track.tkhd {
                let times = Times::read(Kind::Track, tkhd)?;
                atom(out, b"tkhd", |out| times.push(tkhd, self.film_duration, out));
            }
            if self.prefix > 0 {
                atom(out, b"edts", |out| atom(out, b"elst", |out| self.push_edit(out)));
            }
            atom(out, b"mdia", |out| {
                if let Some(mdhd) = track.mdhd {
                    let times = Times::read(Kind::Media, mdhd)?;
                    let duration = remaining(times.duration, times.scale, cut.start, cut.length).unwrap_or_default();
                    atom(out, b"mdhd", |out| times.push(mdhd, duration.saturating_add(self.prefix), out));
                }
                copy(out, b"hdlr", track.hdlr);
                atom(out, b"minf", |out| {
                    copy(out, b"vmhd", track.vmhd);
                    copy(out, b"smhd", track.smhd);
                    copy(out, b"dinf", track.dinf);
                    atom(out, b"stbl", |out| self.push_tables(out))
                })
            })
        })
    }

    /// One edit, which leaves out what comes before the moment that was asked for.
    fn push_edit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&1u32.to_be_bytes());
        out.extend_from_slice(&self.film_duration.to_be_bytes());
        out.extend_from_slice(&self.prefix.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0]);
    }

    fn push_tables(&self, out: &mut Vec<u8>) -> Result<OffsetTable, Mp4Error> {
        let (start, end) = self.samples;
        let track = &self.track;
        copy(out, b"stsd", track.stsd);
        if let Some(stts) = track.stts {
            let kept = tables::runs(entries(stts, "stts", 8, 8)?, start, end);
            atom(out, b"stts", |out| tables::push(&kept, out));
        }
        if let Some(stss) = track.stss {
            // They are counted from 1.
            let kept: Vec<[u32; 1]> = tables::numbers::<1>(entries(stss, "stss", 8, 4)?)
                .filter(|[key]| (start + 1..=end).contains(&u64::from(*key)))
                .map(|[key]| [key - u32::try_from(start).unwrap_or(key)])
                .collect();
            atom(out, b"stss", |out| tables::push(&kept, out));
        }
        if let Some(ctts) = track.ctts {
            let kept = tables::runs(entries(ctts, "ctts", 8, 8)?, start, end);
            if !kept.is_empty() {
                atom(out, b"ctts", |out| tables::push(&kept, out));
            }
        }
        let kept = tables::cut_chunks(&self.chunks, self.places.0, self.places.1);
        atom(out, b"stsc", |out| tables::push(&kept, out));
        if let Some(sizes) = &self.sizes {
            atom(out, b"stsz", |out| sizes.push(start, end, out));
        }
        Ok(self.push_offsets(out))
    }

    /// The offsets of the part's chunks as they are in the file, the first one behind the samples that are left out.
    fn push_offsets(&self, out: &mut Vec<u8>) -> OffsetTable {
        let wide = self.offsets.wide;
        let (from, to) = (self.places.0.chunk, self.places.1.chunk + u64::from(self.places.1.before > 0));
        let to = if self.bytes.is_some() { to.min(self.offsets.count()) } else { from };
        let first = self.bytes.map_or(0, |(first, _)| first);
        let count = to.saturating_sub(from);
        atom(out, if wide { b"co64" } else { b"stco" }, |out| {
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
            let at = out.len();
            for chunk in from..to {
                let offset = if chunk == from { first } else { self.offsets.get(chunk).unwrap_or_default() };
                if wide {
                    out.extend_from_slice(&offset.to_be_bytes());
                } else {
                    out.extend_from_slice(&u32::try_from(offset).unwrap_or(u32::MAX).to_be_bytes());
                }
            }
            OffsetTable { at, count: usize::try_from(count).unwrap_or_default(), wide }
        })
    }
}

/// The samples from the cut's start to its end, and how much of their time comes before the start.
fn samples_in(track: &Track<'_>, stts: &[u8], scale: u32, cut: &Clip) -> Result<((u64, u64), u64), Mp4Error> {
    let start = moments::units(cut.start, scale);
    let Some(mut first) = tables::sample_at(stts, start) else { return within("start time is out mp4 stts samples") };
    let mut prefix = 0;
    if let (true, Some(stss)) = (cut.key_frame, track.stss) {
        let key = tables::key_frame(entries(stss, "stss", 8, 4)?, first)?;
        prefix = tables::begin_of(stts, first) - tables::begin_of(stts, key);
        first = key;
    }
    let all = tables::samples(stts);
    let end = match cut.length {
        0 => all,
        length => {
            let moment = tables::begin_of(stts, first).saturating_add(units(length, scale)).saturating_add(prefix);
            tables::sample_at(stts, moment).unwrap_or(all)
        }
    };
    Ok(((first, end), prefix))
}

/// The place behind the last sample that is kept: behind all chunks, where no end was asked for.
fn last_place(chunks: &[Chunks], offsets: &Offsets<'_>, end: Option<u64>) -> Result<ChunkPosition, Mp4Error> {
    match end {
        Some(end) => tables::place(chunks, end, "end"),
        None => Ok(ChunkPosition { chunk: offsets.count(), before: 0 }),
    }
}

fn copy(out: &mut Vec<u8>, name: &super::Name, content: Option<&[u8]>) {
    if let Some(content) = content {
        atom(out, name, |out| out.extend_from_slice(content));
    }
}
