//! A stored response: its head, and its body in memory or in its file.

use bytes::Bytes;
use cache::Head;
use http::{FilePiece, Piece};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use wire::h1::header::{HeaderSpan, Rules, parse_section};

/// Bytes of a body that are looked at at a time.
const PART: usize = 256 * 1024;

/// A stored response.
pub struct Stored {
    /// What its file says before the body.
    pub head: Head,
    /// Its fields, ranges of the head's text.
    pub lines: Vec<HeaderSpan>,
    body: Body,
    /// Where the body stands in its file.
    body_start: u64,
    /// The version of a file whose body was not verified yet.
    pub unverified: Option<u64>,
}

enum Body {
    Memory(Bytes),
    File(Rc<File>),
}

impl Stored {
    /// A response whose body stays in its file; `None` if its head is none.
    #[must_use]
    pub(crate) fn on_disk(head: Head, file: File) -> Option<Stored> {
        Some(Stored {
            lines: lines(&head.text)?,
            body_start: head.body_start() as u64,
            head,
            body: Body::File(Rc::new(file)),
            unverified: None,
        })
    }

    /// The same, whose body is to be looked at first.
    #[must_use]
    pub(crate) fn not_yet_verified(self, version: u64) -> Stored {
        Stored { unverified: Some(version), ..self }
    }

    /// One whose body is here.
    #[must_use]
    pub fn in_memory(head: Head, body: Vec<u8>) -> Option<Stored> {
        Some(Stored {
            lines: lines(&head.text)?,
            body_start: head.body_start() as u64,
            head,
            body: Body::Memory(Bytes::from(body)),
            unverified: None,
        })
    }

    /// Bytes that it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let body = match &self.body {
            Body::Memory(bytes) => bytes.len(),
            Body::File(_) => 0,
        };
        body + self.head.body_start() + self.lines.len() * size_of::<HeaderSpan>() + size_of::<Stored>()
    }

    /// Bytes of its file.
    #[must_use]
    pub fn file_length(&self) -> u64 {
        self.body_start + self.head.length
    }

    /// Whether the body in the file is what was written. Others go on meanwhile: it may be long.
    pub async fn is_whole(&self) -> bool {
        let Body::File(file) = &self.body else { return true };
        let mut sum = crc32fast::Hasher::new();
        let mut part = vec![0; PART.min(usize::try_from(self.head.length).unwrap_or(PART))];
        let mut done = 0;
        while done < self.head.length {
            let left = usize::try_from(self.head.length - done).unwrap_or(PART).min(part.len());
            let Some(room) = part.get_mut(..left) else { return false };
            if file.read_exact_at(room, self.body_start + done).is_err() {
                return false;
            }
            sum.update(room);
            done += left as u64;
            net::turn::next().await;
        }
        sum.finalize() == self.head.body_sum
    }

    /// Its body.
    #[must_use]
    pub fn piece(&self) -> Piece {
        match &self.body {
            Body::Memory(bytes) => Piece::Bytes(bytes.clone()),
            Body::File(file) => {
                let start = self.body_start;
                Piece::File(FilePiece { file: file.clone(), start, end: start + self.head.length })
            }
        }
    }

    /// The status line: code and reason.
    #[must_use]
    pub(crate) fn status_line_end(&self) -> usize {
        memchr::memchr(b'\r', &self.head.text).unwrap_or(0)
    }

    /// The same with other fields, behind which the body stands where it did.
    #[must_use]
    pub fn renewed(&self, head: Head) -> Option<Stored> {
        let lines = lines(&head.text)?;
        Some(Stored { lines, ..self.with_head(head) })
    }

    /// The same with another head of the same size.
    #[must_use]
    pub(crate) fn with_head(&self, head: Head) -> Stored {
        let body = match &self.body {
            Body::Memory(bytes) => Body::Memory(bytes.clone()),
            Body::File(file) => Body::File(file.clone()),
        };
        Stored { head, lines: self.lines.clone(), body, body_start: self.body_start, unverified: self.unverified }
    }
}

/// The fields of a head's text, behind its status line.
fn lines(text: &[u8]) -> Option<Vec<HeaderSpan>> {
    let mut lines = Vec::new();
    let start = memchr::memchr(b'\n', text)? + 1;
    parse_section(text.get(start..)?, Rules { underscores: true, upstream: true }, &mut lines).ok()?;
    for line in &mut lines {
        (line.name, line.value) = (line.name.shifted(start), line.value.shifted(start));
    }
    Some(lines)
}
