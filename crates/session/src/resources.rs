//! What a configuration opens once it is accepted as a whole: log files and directories for temporary files.
//!
//! Rows ask for them by path while the configuration is read; the server opens them all before it takes over, and
//! opens the logs again when it is told to (USR1). Both registries live in the configuration's global scope.

use base::log::LogFile;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The error log files of one configuration, one value per path. Cloning shares the list.
#[derive(Clone, Default)]
pub struct ErrorFiles {
    files: Rc<RefCell<Vec<Rc<LogFile>>>>,
    places: Rc<RefCell<HashMap<PathBuf, usize>>>,
    stderr: Rc<Cell<bool>>,
}

impl ErrorFiles {
    /// The file of this absolute path; closed until [`ErrorFiles::open_all`].
    pub fn get(&self, path: &Path) -> Rc<LogFile> {
        let mut files = self.files.borrow_mut();
        let place = *self.places.borrow_mut().entry(path.to_owned()).or_insert(files.len());
        if let Some(known) = files.get(place) {
            return known.clone();
        }
        let file = LogFile::closed(path);
        files.push(file.clone());
        file
    }

    /// Notes that some log is standard error, which must then stay what it is.
    pub fn use_stderr(&self) {
        self.stderr.set(true);
    }

    /// Whether some log is standard error.
    pub fn uses_stderr(&self) -> bool {
        self.stderr.get()
    }

    /// Opens every file, or opens it again.
    ///
    /// # Errors
    /// The first file that cannot be opened; the files before it are open then, and one that was open stays so.
    pub fn open_all(&self) -> Result<(), (PathBuf, io::Error)> {
        for file in self.files.borrow().iter() {
            file.reopen().map_err(|error| (file.path().to_owned(), error))?;
        }
        Ok(())
    }

    /// The paths, in the order of the configuration.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.borrow().iter().map(|file| file.path().to_owned()).collect()
    }

    /// Opens every file again and reports those that cannot be; these go on with the old one.
    pub fn reopen_all(&self, mut report: impl FnMut(&Path, &io::Error)) {
        for file in self.files.borrow().iter() {
            if let Err(error) = file.reopen() {
                report(file.path(), &error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_file() {
        let directory = std::env::temp_dir().join(format!("lunette-opened-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let files = ErrorFiles::default();
        let one = files.get(&directory.join("a.log"));
        assert!(Rc::ptr_eq(&one, &files.clone().get(&directory.join("a.log"))));
        assert!(!directory.join("a.log").exists());
        files.open_all().unwrap();
        one.append(b"x\n").unwrap();
        assert_eq!(std::fs::read(directory.join("a.log")).unwrap(), b"x\n");
        files.get(&directory.join("none/b.log"));
        assert_eq!(files.open_all().unwrap_err().0, directory.join("none/b.log"));
        let mut failed = 0;
        files.reopen_all(|_, _| failed += 1);
        assert_eq!((failed, files.paths().len()), (1, 2));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
