//! The log files of modules: shared by path, reopened after a rotation, flushed at the end.

use base::errno;
use base::log::{ErrorLog, Level};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// A log that is kept open.
pub trait ReopenableLog {
    /// Its path.
    fn path(&self) -> &Path;

    /// Opens it for the first time, while the privileges to do so are there.
    ///
    /// # Errors
    /// Those of `open(2)`.
    fn open(&self) -> io::Result<()>;

    /// Opens the path again; what was gathered goes to the old file.
    ///
    /// # Errors
    /// Those of `open(2)`.
    fn reopen(&self) -> io::Result<()>;

    /// Writes out what was gathered.
    fn flush(&self);
}

/// All of them, a value of the whole configuration.
#[derive(Default)]
pub struct LogFiles {
    /// In the order of the configuration.
    pub list: Vec<Rc<dyn ReopenableLog>>,
}

impl LogFiles {
    /// Opens every file again (USR1); a file that fails stays as it is and is logged.
    pub fn reopen(&self, log: &ErrorLog) {
        for file in &self.list {
            if let Err(error) = file.reopen() {
                let path = file.path().display();
                base::log!(log, Level::Emerg, 0, "open() \"{path}\" failed {}", errno::describe(&error));
            }
        }
    }

    /// Writes out what was gathered, before a process ends.
    pub fn flush(&self) {
        for file in &self.list {
            file.flush();
        }
    }
}
