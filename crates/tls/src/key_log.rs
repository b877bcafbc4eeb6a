//! Logs the secrets of sessions to a file, for tools that decrypt captured traffic (`ssl_key_log`).

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

pub use rustls::KeyLog;

use crate::names::hexadecimal;

/// A file to which lines are appended, by any number of processes.
#[derive(Debug)]
pub struct KeyLogFile(File);

impl KeyLogFile {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// What open(2) reports.
    pub fn open(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self(OpenOptions::new().append(true).create(true).open(path)?)))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hexadecimal(client_random, false), hexadecimal(secret, false));
        // One write, so that lines of several processes do not mix; a full disk must not end a handshake.
        let _ = (&self.0).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_that_tools_read() {
        let path = std::env::temp_dir().join(format!("lunette-key-log-{}", std::process::id()));
        let log = KeyLogFile::open(&path).unwrap();
        log.log("CLIENT_RANDOM", &[1, 0xab], &[0xff]);
        assert!(log.will_log("CLIENT_RANDOM"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "CLIENT_RANDOM 01ab ff\n");
    }
}
