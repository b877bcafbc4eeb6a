//! A byte range into a buffer that the reader does not own.

/// Half-open byte range `start..end`, in bytes from the start of the buffer it was taken from.
///
/// Ranges instead of references let a parsed head live beside the buffer that may move or grow.
/// Heads are far below 4 GiB (see [`crate::h1::request::Limits`]), so 32 bits are enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset one past the last byte; never below `start`.
    pub end: u32,
}

impl Span {
    /// The range `start..end`; offsets beyond 4 GiB saturate, which makes [`Span::of`] answer with
    /// an empty slice instead of a wrong one.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        Self { start, end: u32::try_from(end).unwrap_or(u32::MAX).max(start) }
    }

    /// The bytes of the range in `buf`; empty when `buf` is not the buffer the range came from.
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True when the range holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The same range moved up by `base` bytes.
    #[must_use]
    pub fn shifted(self, base: usize) -> Self {
        Self::new(self.start as usize + base, self.end as usize + base)
    }

    /// The same range moved down by `base` bytes, as far as there are so many before it.
    #[must_use]
    pub fn lowered(self, base: usize) -> Self {
        let base = u32::try_from(base).unwrap_or(u32::MAX);
        Self { start: self.start.saturating_sub(base), end: self.end.saturating_sub(base) }
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn a_range_outside_its_buffer_is_empty() {
        assert_eq!(Span::new(1, 3).of(b"abcd"), b"bc");
        assert_eq!(Span::new(3, 9).of(b"abcd"), b"");
        assert_eq!(Span::new(5, 2), Span { start: 5, end: 5 });
        assert_eq!(Span::new(1, 2).shifted(4), Span::new(5, 6));
        assert_eq!(Span::new(5, 6).lowered(4), Span::new(1, 2));
        assert_eq!(Span::new(5, 6).lowered(1 << 32), Span::default());
    }
}
