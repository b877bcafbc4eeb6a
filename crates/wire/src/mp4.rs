//! MP4 files (ISO/IEC 14496-12): a part between two moments of a film as a file of its own.
//!
//! A file is a row of atoms. `moov` holds tables of what is played when and where its bytes are; `mdat` holds the bytes. [`cut::cut`]
//! makes the tables of the part, and says which bytes of the file belong to it.

pub mod cut;
mod durations;
pub mod selection;
mod tables;
mod track;

use std::fmt;

/// Most bytes that a header of an atom has.
pub const HEADER: usize = 16;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mp4Error {
    /// nginx's words behind the file's name.
    Of(String),
    /// nginx's words before the file's name.
    In(String),
}

impl fmt::Display for Mp4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mp4Error::Of(words) | Mp4Error::In(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Mp4Error {}

impl Mp4Error {
    /// The line for the error log.
    #[must_use]
    pub fn line(&self, file: impl fmt::Display) -> String {
        match self {
            Mp4Error::Of(words) => format!("\"{file}\" {words}"),
            Mp4Error::In(words) => format!("{words} in \"{file}\""),
        }
    }
}

fn of<T>(words: impl Into<String>) -> Result<T, Mp4Error> {
    Err(Mp4Error::Of(words.into()))
}

fn within<T>(words: impl Into<String>) -> Result<T, Mp4Error> {
    Err(Mp4Error::In(words.into()))
}

/// An atom's name.
pub type Name = [u8; 4];

/// The size and type of an atom (ISO/IEC 14496-12, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Name,
    /// Bytes of the header itself: 8 or 16.
    pub length: u64,
    /// Bytes of the whole atom, the header's with them.
    pub size: u64,
}

/// The header that `data` begins with, where `left` bytes are left in what holds the atom; `None`: there are no more atoms. `data`
/// has [`HEADER`] bytes or all that are left.
///
/// # Errors
/// The file is cut off, or the size cannot be.
pub fn header(data: &[u8], left: u64) -> Result<Option<Header>, Mp4Error> {
    let truncated = || Mp4Error::Of("mp4 file truncated".to_owned());
    let (size, rest) = data.split_first_chunk::<4>().ok_or_else(truncated)?;
    let size = u64::from(u32::from_be_bytes(*size));
    if size == 0 {
        return Ok(None);
    }
    let (name, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
    let (length, size) = match size {
        1 => (16, u64::from_be_bytes(*rest.first_chunk::<8>().ok_or_else(truncated)?)),
        size => (8, size),
    };
    if size < length {
        return of(format!("mp4 atom is too small:{size}"));
    }
    if size > left {
        return of(format!("mp4 atom too large:{size}"));
    }
    Ok(Some(Header { name: *name, length, size }))
}

/// Calls `f` with the name and the content of each atom in `data`.
fn for_each_atom<'a>(data: &'a [u8], mut f: impl FnMut(Name, &'a [u8]) -> Result<(), Mp4Error>) -> Result<(), Mp4Error> {
    let mut rest = data;
    while !rest.is_empty() {
        let Some(header) = header(rest, rest.len() as u64)? else { break };
        // The size is that of something in memory.
        let [size, length] = [header.size, header.length].map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let (atom, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        f(header.name, atom.get(length..).unwrap_or_default())?;
        rest = behind;
    }
    Ok(())
}

/// Puts the content of an atom into its place, which must be empty.
fn set_once<'a>(slot: &mut Option<&'a [u8]>, name: &str, content: &'a [u8]) -> Result<(), Mp4Error> {
    if slot.replace(content).is_some() {
        return within(format!("duplicate mp4 {name} atom"));
    }
    Ok(())
}

/// Appends an atom with the content that `f` appends.
fn atom<R>(out: &mut Vec<u8>, name: &Name, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(name);
    let result = f(out);
    // What is in memory is shorter than 4 GiB: it comes from an atom that was read as a whole.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..).and_then(|atom| atom.first_chunk_mut::<4>()) {
        *place = size.to_be_bytes();
    }
    result
}

/// The number of four bytes at `at`.
fn number(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk::<4>()?))
}

/// The number of eight bytes at `at`.
fn long(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*data.get(at..)?.first_chunk::<8>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let small = b"\0\0\0\x0cftyp1234";
        let large = b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x11x";
        assert_eq!(header(small, 12), Ok(Some(Header { name: *b"ftyp", length: 8, size: 12 })));
        assert_eq!(header(large, 17), Ok(Some(Header { name: *b"mdat", length: 16, size: 17 })));
        assert_eq!(header(b"\0\0\0\0", 4), Ok(None));
        let line = |data: &[u8], left| header(data, left).unwrap_err().line("a.mp4");
        assert_eq!(line(small, 11), "\"a.mp4\" mp4 atom too large:12");
        assert_eq!(line(b"\0\0\0\x07moov", 8), "\"a.mp4\" mp4 atom is too small:7");
        assert_eq!(line(b"\0\0\0\x01moov\0\0\0\0\0\0\0\x0f", 16), "\"a.mp4\" mp4 atom is too small:15");
        for cut in 0..16 {
            assert!(header(&large[..cut], cut as u64).is_err());
        }
    }

    #[test]
    fn atoms_inside_atoms() {
        let mut out = Vec::new();
        atom(&mut out, b"moov", |out| atom(out, b"free", |out| out.push(1)));
        assert_eq!(out, b"\0\0\0\x11moov\0\0\0\x09free\x01");
        let mut seen = Vec::new();
        for_each_atom(&out[8..], |name, content| {
            seen.push((name, content.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(*b"free", vec![1])]);
    }
}
