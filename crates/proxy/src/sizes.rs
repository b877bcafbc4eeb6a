//! How much of a response is kept where: `*_buffer_size`, `*_buffers`, `*_busy_buffers_size`, `*_temp_file_write_size`,
//! `*_max_temp_file_size`. They may contradict each other, which nginx says of every block, whether or not an upstream is asked in it.

use crate::limits::default;
use conf::tree::SettingError;

/// What directives say of them, bytes.
pub(crate) struct BufferSizeConf {
    pub(crate) buffer: Option<u64>,
    /// Number and size.
    pub(crate) buffers: Option<(u64, u64)>,
    pub(crate) busy: Option<u64>,
    pub(crate) write: Option<u64>,
    pub(crate) max_file: Option<u64>,
}

/// Sizes in bytes that fit together.
pub(crate) struct Sizes {
    /// Of the buffer for a response's head.
    pub(crate) buffer: u64,
    /// Of all buffers.
    pub(crate) memory: u64,
    /// What may wait for the client.
    pub(crate) busy: u64,
    /// The longest temporary file.
    pub(crate) max_file: u64,
}

impl Sizes {
    /// The sizes of a block, with nginx's defaults.
    ///
    /// # Errors
    /// nginx's texts for sizes that contradict each other.
    pub(crate) fn of(conf: &BufferSizeConf, prefix: &str) -> Result<Sizes, SettingError> {
        let (count, size) = conf.buffers.unwrap_or((default::BUFFERS, default::PAGE));
        let buffer = conf.buffer.unwrap_or(default::PAGE);
        let largest = size.max(buffer);
        let least = || format!("the maximum of the value of \"{prefix}_buffer_size\" and one of the \"{prefix}_buffers\"");
        if count < 2 {
            return Err(format!("there must be at least 2 \"{prefix}_buffers\"").into());
        }
        let busy = conf.busy.unwrap_or(largest.saturating_mul(2));
        if busy < largest {
            return Err(format!("\"{prefix}_busy_buffers_size\" must be equal to or greater than {}", least()).into());
        }
        let memory = count.saturating_mul(size);
        if busy > memory.saturating_sub(size) {
            return Err(
                format!("\"{prefix}_busy_buffers_size\" must be less than the size of all \"{prefix}_buffers\" minus one buffer").into()
            );
        }
        if conf.write.is_some_and(|write| write < largest) {
            return Err(format!("\"{prefix}_temp_file_write_size\" must be equal to or greater than {}", least()).into());
        }
        let max_file = conf.max_file.unwrap_or(default::MAX_FILE);
        if max_file != 0 && max_file < largest {
            return Err(format!(
                "\"{prefix}_max_temp_file_size\" must be equal to zero to disable temporary files usage or must be equal to or greater than {}",
                least()
            ).into());
        }
        Ok(Sizes { buffer, memory, busy, max_file })
    }
}
