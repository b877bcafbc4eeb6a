use super::*;
use crate::mp4::{header, long, number};

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// A film of one track at 10 samples a second: 40 samples of 100 bytes, 4 a chunk, every 10th a key frame. The bytes begin at 1000.
pub(crate) fn film(wide: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let times = |size: usize, at: usize, scale: Option<usize>, duration: u32| {
        let mut content = vec![0; size];
        content[at..at + 4].copy_from_slice(&duration.to_be_bytes());
        if let Some(scale) = scale {
            content[scale..scale + 4].copy_from_slice(&1000u32.to_be_bytes());
        }
        content
    };
    atom(&mut out, b"mvhd", |out| out.extend(times(100, 16, Some(12), 4000)));
    atom(&mut out, b"trak", |out| {
        atom(out, b"tkhd", |out| out.extend(times(84, 20, None, 4000)));
        atom(out, b"edts", |out| out.push(0));
        atom(out, b"mdia", |out| {
            atom(out, b"mdhd", |out| out.extend(times(24, 16, Some(12), 4000)));
            atom(out, b"hdlr", |out| out.extend(b"vide"));
            atom(out, b"minf", |out| {
                atom(out, b"vmhd", |out| out.extend([0; 12]));
                atom(out, b"stbl", |out| {
                    atom(out, b"stsd", |out| out.extend([0; 16]));
                    atom(out, b"stts", |out| out.extend(numbers(&[0, 1, 40, 100])));
                    atom(out, b"stss", |out| out.extend(numbers(&[0, 4, 1, 11, 21, 31])));
                    atom(out, b"ctts", |out| out.extend(numbers(&[0, 2, 15, 7, 25, 8])));
                    atom(out, b"stsc", |out| out.extend(numbers(&[0, 1, 1, 4, 1])));
                    atom(out, b"stsz", |out| out.extend(numbers(&[0, 100, 40])));
                    let offsets: Vec<u32> = (0..10).map(|chunk| 1000 + chunk * 400).collect();
                    if wide {
                        atom(out, b"co64", |out| {
                            out.extend(numbers(&[0, 10]));
                            out.extend(offsets.iter().flat_map(|offset| u64::from(*offset).to_be_bytes()));
                        });
                    } else {
                        atom(out, b"stco", |out| out.extend(numbers(&[&[0, 10], &offsets[..]].concat())));
                    }
                });
            });
        });
    });
    out
}

fn wanted(start: u64, length: u64, key_frame: bool) -> Clip {
    Clip { start, length, key_frame, file_size: 5000, data_end: 5000 }
}

/// The content of the first atom of that name, wherever it is.
fn find<'a>(data: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = data;
    while let Ok(Some(found)) = header(rest, rest.len() as u64) {
        let (whole, behind) = rest.split_at(found.size as usize);
        let content = &whole[found.length as usize..];
        if found.name == name {
            return Some(content);
        }
        if matches!(&found.name, b"moov" | b"trak" | b"mdia" | b"minf" | b"stbl" | b"edts")
            && let Some(inside) = find(content, name)
        {
            return Some(inside);
        }
        rest = behind;
    }
    None
}

#[test]
fn from_a_moment_to_the_end() {
    for wide in [false, true] {
        let part = cut(&film(wide), &wanted(1500, 0, false), 20).unwrap();
        // Sample 15 is the last one of the fourth chunk.
        assert_eq!((part.start, part.end), (1000 + 1500, 5000));
        assert_eq!(part.header, [&2508u32.to_be_bytes()[..], b"mdat"].concat());
        let of = |name: &[u8]| find(&part.moov, name).unwrap();
        assert_eq!(of(b"stts"), numbers(&[0, 1, 25, 100]));
        assert_eq!(of(b"stss"), numbers(&[0, 2, 6, 16]));
        assert_eq!(of(b"ctts"), numbers(&[0, 1, 25, 8]));
        assert_eq!(of(b"stsc"), numbers(&[0, 2, 1, 1, 1, 2, 4, 1]));
        assert_eq!(of(b"stsz"), numbers(&[0, 100, 25]));
        assert_eq!([number(of(b"mvhd"), 16), number(of(b"tkhd"), 20), number(of(b"mdhd"), 16)], [Some(2500); 3]);
        assert_eq!((find(&part.moov, b"edts"), of(b"hdlr")), (None, &b"vide"[..]));
        let first = 20 + part.moov.len() as u64 + 8;
        let table = of(if wide { b"co64" } else { b"stco" });
        let offset = |chunk: usize| if wide { long(table, 8 + 8 * chunk) } else { number(table, 8 + 4 * chunk).map(u64::from) };
        assert_eq!((number(table, 4), offset(0), offset(1), offset(6)), (Some(7), Some(first), Some(first + 100), Some(first + 2100)));
    }
}

#[test]
fn between_two_moments() {
    let part = cut(&film(false), &wanted(1500, 1000, false), 0).unwrap();
    // Samples 15 to 24: the first one of the seventh chunk is the last.
    assert_eq!((part.start, part.end), (2500, 3500));
    let of = |name: &[u8]| find(&part.moov, name).unwrap();
    assert_eq!(of(b"stts"), numbers(&[0, 1, 10, 100]));
    assert_eq!(of(b"stsc"), numbers(&[0, 3, 1, 1, 1, 2, 4, 1, 4, 1, 1]));
    assert_eq!((number(of(b"stco"), 4), number(of(b"mdhd"), 16)), (Some(4), Some(1000)));
    // Within one chunk.
    let part = cut(&film(false), &wanted(500, 200, false), 0).unwrap();
    assert_eq!((part.start, part.end), (1500, 1700));
    assert_eq!(find(&part.moov, b"stsc").unwrap(), numbers(&[0, 1, 1, 2, 1]));
    // An end behind the end is the end.
    assert_eq!(cut(&film(false), &wanted(3000, 9000, false), 0).unwrap().end, 5000);
}

#[test]
fn from_a_key_frame() {
    let part = cut(&film(false), &wanted(1500, 1000, true), 0).unwrap();
    assert_eq!((part.start, part.end), (2000, 3500));
    let of = |name: &[u8]| find(&part.moov, name).unwrap();
    assert_eq!(of(b"stts"), numbers(&[0, 1, 15, 100]));
    assert_eq!(number(of(b"mdhd"), 16), Some(1500));
    let edit = of(b"elst");
    assert_eq!((long(edit, 8), long(edit, 16), edit.len()), (Some(1000), Some(500), 28));
}

#[test]
fn what_cannot_be_cut() {
    let line = |film: &[u8], cut_: Clip| cut(film, &cut_, 0).unwrap_err().line("f");
    let whole = film(false);
    assert_eq!(line(&whole, wanted(4001, 0, false)), "\"f\" mp4 start time exceeds file duration");
    assert_eq!(line(&whole, wanted(4000, 0, false)), "no mp4 trak atoms were found in \"f\"");
    assert_eq!(line(&whole, Clip { file_size: 2000, ..wanted(1500, 0, false) }), "too large chunk offset in \"f\"");
    assert_eq!(line(&whole, Clip { data_end: 1600, ..wanted(1500, 0, false) }), "no data between start time and end time in \"f\"");
    assert_eq!(line(&[&whole[..], &whole[..108]].concat(), wanted(0, 0, false)), "duplicate mp4 mvhd atom in \"f\"");
    assert_eq!(line(b"\0\0\0\x08cmov", wanted(0, 0, false)), "\"f\" mp4 compressed moov atom (cmov) is not supported");
    for end in 0..whole.len() {
        // Nothing but errors and parts, never a panic.
        let _ = cut(&whole[..end], &wanted(1500, 1000, true), 0);
    }
}
