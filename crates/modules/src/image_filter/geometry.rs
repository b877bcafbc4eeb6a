//! How large an image becomes.

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The largest width and height that are allowed; [`UNLIMITED`] for `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// `-`: no limit.
pub(crate) const UNLIMITED: u32 = u32::MAX;

/// `of * by / from`, at least one pixel.
fn scaled(of: u32, by: u32, from: u32) -> u32 {
    let result = u64::from(of) * u64::from(by) / u64::from(from.max(1));
    u32::try_from(result.max(1)).unwrap_or(u32::MAX)
}

impl Size {
    /// Whether it is within the bounds.
    pub(crate) fn fits(self, bounds: Bounds) -> bool {
        self.width <= bounds.width && self.height <= bounds.height
    }

    fn with_width(self, width: u32) -> Size {
        Size { width, height: scaled(self.height, width, self.width) }
    }

    fn with_height(self, height: u32) -> Size {
        Size { width: scaled(self.width, height, self.height), height }
    }

    /// `resize`: shrunk in proportion until both sides fit.
    pub(crate) fn shrunk_into(self, bounds: Bounds) -> Size {
        let narrow = if self.width > bounds.width { self.with_width(bounds.width) } else { self };
        if narrow.height > bounds.height { narrow.with_height(bounds.height) } else { narrow }
    }

    /// `crop`: shrunk in proportion until the side that exceeds its limit less fits; what still exceeds is cut off.
    pub(crate) fn shrunk_around(self, bounds: Bounds) -> Size {
        // width / height < bounds.width / bounds.height
        let is_narrower = u64::from(self.width) * u64::from(bounds.height) < u64::from(bounds.width) * u64::from(self.height);
        match is_narrower {
            true if self.width > bounds.width => self.with_width(bounds.width),
            false if self.height > bounds.height => self.with_height(bounds.height),
            _ => self,
        }
    }

    /// `crop`: the part that is left, from the middle, as (left, top, size).
    pub(crate) fn cropped_to(self, bounds: Bounds) -> (u32, u32, Size) {
        let size = Size { width: self.width.min(bounds.width), height: self.height.min(bounds.height) };
        ((self.width - size.width) / 2, (self.height - size.height) / 2, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    fn bounds(width: u32, height: u32) -> Bounds {
        Bounds { width, height }
    }

    #[test]
    fn resize_keeps_proportions() {
        let table = [
            (size(100, 120), bounds(10, 12), size(10, 12)),
            (size(100, 120), bounds(10, UNLIMITED), size(10, 12)),
            (size(100, 120), bounds(UNLIMITED, 12), size(10, 12)),
            (size(100, 120), bounds(50, 30), size(25, 30)),
            (size(100, 120), bounds(200, 200), size(100, 120)),
            (size(1000, 1), bounds(10, 10), size(10, 1)),
            (size(65_535, 65_535), bounds(65_534, 65_533), size(65_533, 65_533)),
        ];
        for (from, within, to) in table {
            assert_eq!(from.shrunk_into(within), to, "{from:?} {within:?}");
        }
    }

    #[test]
    fn crop_covers_the_bounds() {
        let table = [
            (size(100, 120), bounds(60, 80), size(66, 80), (3, 0, size(60, 80))),
            (size(100, 120), bounds(10, 20), size(16, 20), (3, 0, size(10, 20))),
            (size(100, 120), bounds(50, 10), size(50, 60), (0, 25, size(50, 10))),
            (size(100, 120), bounds(200, 20), size(100, 120), (0, 50, size(100, 20))),
            (size(100, 120), bounds(UNLIMITED, 20), size(100, 120), (0, 50, size(100, 20))),
            (size(3, 3), bounds(5, 5), size(3, 3), (0, 0, size(3, 3))),
        ];
        for (from, within, shrunk, cropped) in table {
            assert_eq!(from.shrunk_around(within), shrunk, "{from:?} {within:?}");
            assert_eq!(shrunk.cropped_to(within), cropped, "{from:?} {within:?}");
        }
    }
}
