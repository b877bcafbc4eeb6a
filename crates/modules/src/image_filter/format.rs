//! Which format an image has, and how large it is, from its first bytes.

/// A format that can be transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// ITU-T T.81.
    Jpeg,
    /// GIF87a, GIF89a.
    Gif,
    /// ISO/IEC 15948.
    Png,
    /// RFC 9649.
    WebP,
}

/// Bytes that tell the format.
pub(crate) const SIGNATURE: usize = 16;

impl Format {
    /// The format of an image that begins with `data`; `None` also if there are fewer than [`SIGNATURE`] bytes.
    pub(crate) fn detect(data: &[u8]) -> Option<Format> {
        match data.get(..SIGNATURE)? {
            [0xff, 0xd8, ..] => Some(Format::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Format::WebP),
            _ => None,
        }
    }

    /// The media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Gif => "image/gif",
            Format::Png => "image/png",
            Format::WebP => "image/webp",
        }
    }

    /// The name within the media type.
    pub(crate) fn name(self) -> &'static str {
        self.media_type().trim_start_matches("image/")
    }

    /// What the image says about itself; `None` if it is cut off or damaged.
    pub(crate) fn facts(self, data: &[u8]) -> Option<Facts> {
        let (width, height) = match self {
            Format::Jpeg => return jpeg(data),
            Format::Gif => (little_endian(data.get(6..8)?), little_endian(data.get(8..10)?)),
            Format::Png => (big_endian(data.get(16..20)?), big_endian(data.get(20..24)?)),
            Format::WebP => webp(data.get(..30)?)?,
        };
        Some(Facts { width, height, much_metadata: false })
    }
}

/// What an image says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Pixels in a row.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// More than a twentieth of the file is metadata (EXIF, XMP), so that it is worth encoding anew.
    pub(crate) much_metadata: bool,
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Walks the marker segments up to the frame header (T.81 annex B), and on for the sizes of application data.
fn jpeg(data: &[u8]) -> Option<Facts> {
    let (mut at, mut size, mut metadata) = (2, None, 0);
    while let Some(&[marker_start, marker, high, low]) = data.get(at..at + 4) {
        if marker_start != 0xff || marker == 0xff {
            at += 1;
            continue;
        }
        let length = usize::from(high) << 8 | usize::from(low);
        match marker {
            0xc0..=0xc3 | 0xc9..=0xcb if size.is_none() => {
                size = Some((big_endian(data.get(at + 7..at + 9)?), big_endian(data.get(at + 5..at + 7)?)));
            }
            0xe1..=0xef => metadata += length,
            // The entropy-coded data.
            0xda => break,
            _ => {}
        }
        at += 2 + length;
    }
    let (width, height) = size.filter(|(width, height)| *width > 0 && *height > 0)?;
    Some(Facts { width, height, much_metadata: metadata > data.len() / 20 })
}

/// Width and height of the lossy, the lossless and the extended file format (RFC 9649 sections 2.5 to 2.7).
fn webp(data: &[u8]) -> Option<(u32, u32)> {
    const MASK: u32 = 0x3fff;
    match data.get(12..16)? {
        b"VP8 " => {
            let is_key_frame = data.get(20)? & 1 == 0;
            let size = (little_endian(data.get(26..28)?) & MASK, little_endian(data.get(28..30)?) & MASK);
            (is_key_frame && data.get(23..26)? == [0x9d, 0x01, 0x2a]).then_some(size)
        }
        b"VP8L" => {
            let bits = little_endian(data.get(21..25)?);
            (*data.get(20)? == 0x2f).then_some(((bits & MASK) + 1, (bits >> 14 & MASK) + 1))
        }
        b"VP8X" => Some((little_endian(data.get(24..27)?) + 1, little_endian(data.get(27..30)?) + 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(start: &[u8]) -> Vec<u8> {
        let mut data = start.to_vec();
        data.resize(64, 0);
        data
    }

    #[test]
    fn formats_are_told_by_their_signatures() {
        let table: [(&[u8], Option<Format>); 9] = [
            (b"\xff\xd8\xff\xe0", Some(Format::Jpeg)),
            (b"GIF87a", Some(Format::Gif)),
            (b"GIF89a", Some(Format::Gif)),
            (b"GIF88a", None),
            (b"\x89PNG\r\n\x1a\n", Some(Format::Png)),
            (b"\x89PNG\n", None),
            (b"RIFF\x22\0\0\0WEBPVP8 ", Some(Format::WebP)),
            (b"RIFF\x22\0\0\0WAVE", None),
            (b"<html>", None),
        ];
        for (start, format) in table {
            assert_eq!(Format::detect(&padded(start)), format, "{start:?}");
        }
        assert_eq!(Format::detect(b"GIF89a"), None, "too short");
    }

    #[test]
    fn sizes_are_read_from_heads() {
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x78\0\x64\x01\x01\x11\0";
        let table: [(Format, Vec<u8>, Option<(u32, u32)>); 9] = [
            (Format::Jpeg, padded(jpeg), Some((100, 120))),
            (Format::Jpeg, jpeg[..16].to_vec(), None),
            (Format::Gif, padded(b"GIF89a\x64\0\x78\0"), Some((100, 120))),
            (Format::Gif, b"GIF89a\x64\0".to_vec(), None),
            (Format::Png, padded(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x64\0\0\0\x78"), Some((100, 120))),
            (Format::WebP, padded(b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\0\x30\x01\0\x9d\x01\x2a\x64\0\x78\0"), Some((100, 120))),
            (Format::WebP, padded(b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\0\x31\x01\0\x9d\x01\x2a\x64\0\x78\0"), None),
            (Format::WebP, padded(b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\x63\xc0\x1d\0"), Some((100, 120))),
            (Format::WebP, padded(b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x63\0\0\x77\0\0"), Some((100, 120))),
        ];
        for (format, data, size) in table {
            assert_eq!(format.facts(&data).map(|facts| (facts.width, facts.height)), size, "{format:?} {data:?}");
        }
    }

    #[test]
    fn no_cut_head_is_out_of_bounds() {
        let heads: [(Format, &[u8]); 2] =
            [(Format::Jpeg, b"\xff\xd8\xff\xc0\0\x0b\x08\0\x78\0\x64"), (Format::WebP, b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0")];
        for (format, head) in heads {
            for end in 0..head.len() {
                let _ = format.facts(&head[..end]);
            }
        }
    }

    #[test]
    fn metadata_is_weighed() {
        let mut data = b"\xff\xd8\xff\xe1\0\x20".to_vec();
        data.resize(4 + 0x20, 1);
        data.extend_from_slice(b"\xff\xc0\0\x0b\x08\0\x78\0\x64\x01\x01\x11\0");
        assert!(Format::Jpeg.facts(&data).unwrap().much_metadata);
        data.resize(2000, 0);
        assert!(!Format::Jpeg.facts(&data).unwrap().much_metadata);
    }
}
