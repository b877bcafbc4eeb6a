//! Extracting a time range: the new tables, and the byte range of the file that belongs to it.

use super::moments::{Kind, Times, remaining};
use super::selection::Clip;
use super::track::{OffsetTable, Part, Track};
use super::{Mp4Error, atom, for_each_atom, of, set_once, within};

/// A part of a film. A file of it is `ftyp`, `moov`, `header`, and the bytes from `start` to before `end` of the old file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClippedFile {
    /// The atom with the tables.
    pub moov: Vec<u8>,
    /// The header of the atom with the bytes.
    pub header: Vec<u8>,
    /// First byte in the old file.
    pub start: u64,
    /// One past the last byte in the old file.
    pub end: u64,
}

/// Cuts a part out of the film whose `moov` has this content; `before` bytes come before `moov` in the new file.
///
/// # Errors
/// The file is broken, or has nothing at that time.
pub fn cut(moov: &[u8], cut: &Clip, before: u64) -> Result<ClippedFile, Mp4Error> {
    let (mut mvhd, mut traks) = (None, Vec::new());
    for_each_atom(moov, |name, content| match &name {
        b"mvhd" => set_once(&mut mvhd, "mvhd", content),
        b"trak" => {
            traks.push(content);
            Ok(())
        }
        b"cmov" => of("mp4 compressed moov atom (cmov) is not supported"),
        _ => Ok(()),
    })?;
    let film = mvhd.map(|content| Ok((content, Times::read(Kind::Film, content)?))).transpose()?;
    let scale = film.map_or(0, |(_, times)| times.scale);
    let mut parts = Vec::new();
    for content in traks {
        parts.extend(Part::of(Track::read(content)?, scale, cut)?);
    }
    let (mut out, mut tables) = (Vec::new(), Vec::new());
    atom(&mut out, b"moov", |out| {
        if let Some((content, times)) = film {
            let Some(duration) = remaining(times.duration, scale, cut.start, cut.length) else {
                return of("mp4 start time exceeds file duration");
            };
            atom(out, b"mvhd", |out| times.push(content, duration, out));
        }
        for part in &parts {
            tables.push(part.push(cut, out)?);
        }
        Ok(())
    })?;
    if parts.is_empty() {
        return within("no mp4 trak atoms were found");
    }
    let start = parts.iter().filter_map(|part| part.bytes).map(|bytes| bytes.0).min().unwrap_or(cut.file_size);
    let end = parts.iter().filter_map(|part| part.bytes).map(|bytes| bytes.1).max().unwrap_or_default();
    if end <= start {
        return within("no data between start time and end time");
    }
    if start >= cut.data_end {
        return within("start time is out mp4 mdat atom");
    }
    let header = data_header(end - start);
    let new_start = before + out.len() as u64 + header.len() as u64;
    for table in &tables {
        move_chunks(&mut out, table, start, new_start)?;
    }
    Ok(ClippedFile { moov: out, header, start, end })
}

/// The header of an `mdat` with this many bytes.
fn data_header(size: u64) -> Vec<u8> {
    match u32::try_from(size + 8) {
        Ok(size) => [size.to_be_bytes(), *b"mdat"].concat(),
        Err(_) => [&[0, 0, 0, 1], &b"mdat"[..], &(size + 16).to_be_bytes()].concat(),
    }
}

/// Chunks that are counted from `from` in the old file stand at `to` in the new one.
fn move_chunks(out: &mut [u8], table: &OffsetTable, from: u64, to: u64) -> Result<(), Mp4Error> {
    let size = if table.wide { 8 } else { 4 };
    let entries = out.get_mut(table.at..table.at + table.count * size).unwrap_or_default();
    for entry in entries.chunks_exact_mut(size) {
        let old = entry.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        // A chunk before the first byte belongs to no sample that is kept.
        let new = (old.saturating_sub(from)).checked_add(to).filter(|new| table.wide || *new <= u64::from(u32::MAX));
        let Some(new) = new else { return within("too large chunk offset") };
        for (place, byte) in entry.iter_mut().zip(new.to_be_bytes().iter().skip(8 - size)) {
            *place = *byte;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
