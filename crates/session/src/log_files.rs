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

#[cfg(test)]
mod tests {
    use super::*;
    use base::log::{Sink, Target};
    use std::cell::{Cell, RefCell};

    /// A log that counts, and that cannot be opened when it has a fault.
    struct Counted {
        fault: Option<i32>,
        opened: Cell<u32>,
        flushed: Cell<u32>,
    }

    impl ReopenableLog for Counted {
        fn path(&self) -> &Path {
            Path::new("/var/log/a")
        }
        fn open(&self) -> io::Result<()> {
            Ok(())
        }
        fn reopen(&self) -> io::Result<()> {
            self.opened.set(self.opened.get() + 1);
            self.fault.map_or(Ok(()), |number| Err(io::Error::from_raw_os_error(number)))
        }
        fn flush(&self) {
            self.flushed.set(self.flushed.get() + 1);
        }
    }

    #[test]
    fn a_file_that_cannot_be_opened_again_does_not_keep_the_others_from_it() {
        let file = |fault| Rc::new(Counted { fault, opened: Cell::new(0), flushed: Cell::new(0) });
        let (broken, whole) = (file(Some(2)), file(None));
        let lines: Rc<RefCell<Vec<String>>> = Rc::default();
        let to = lines.clone();
        let sink = Sink::Custom(Rc::new(move |_, line| to.borrow_mut().push(String::from_utf8_lossy(line).into_owned())));
        let log = ErrorLog::new(vec![Target { sink, level: Level::Info }]);
        let files = LogFiles { list: vec![broken.clone(), whole.clone()] };
        files.reopen(&log);
        files.flush();
        assert_eq!((broken.opened.get(), whole.opened.get()), (1, 1));
        assert_eq!((broken.flushed.get(), whole.flushed.get()), (1, 1));
        let lines = lines.borrow();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].contains("[emerg]") && lines[0].contains("open() \"/var/log/a\" failed (2: No such file or directory)"),
            "{lines:?}"
        );
    }
}
