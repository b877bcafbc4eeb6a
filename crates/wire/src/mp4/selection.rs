//! The requested part of a video.

/// What is wanted of a file.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Where the part begins, in milliseconds.
    pub start: u64,
    /// How long it is, in milliseconds; 0: to the end.
    pub length: u64,
    /// Begins at the key frame before, so that players need not wait for one; the edit list makes them skip what is too early.
    pub key_frame: bool,
    /// Bytes of the file.
    pub file_size: u64,
    /// One past the last byte of `mdat` in the file.
    pub data_end: u64,
}
