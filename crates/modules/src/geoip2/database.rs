//! A database in memory, and its replacement when the file changes.

use super::value::Text;
use base::clock;
use base::errno::describe;
use base::log::Level;
use maxminddb::{MaxMindDbError, PathElement, Reader};
use session::{Client, log_client};
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

type Contents = Reader<Vec<u8>>;

base::message_error! {
    /// Why a database cannot be used, in libmaxminddb's words.
    pub(super) struct DatabaseError;
}

/// A file with what was read of it.
pub(super) struct Database {
    path: PathBuf,
    contents: RefCell<Contents>,
    /// Seconds between looks at the file; 0 for none.
    interval: i64,
    last_check: Cell<i64>,
    last_change: Cell<i64>,
    /// What a thread reads, and the file's time.
    coming: RefCell<Option<(Receiver<Result<Contents, DatabaseError>>, i64)>>,
}

/// Which part of a record.
pub(super) struct Path {
    words: Vec<String>,
}

fn read(path: &FilePath) -> Result<Contents, DatabaseError> {
    let bytes = fs::read(path).map_err(|_| DatabaseError::from("Error opening the specified MaxMind DB file"))?;
    Reader::from_source(bytes).map_err(|error| match error {
        MaxMindDbError::InvalidDatabase { message, .. } | MaxMindDbError::Decoding { message, .. } => {
            format!("The MaxMind DB file contains invalid metadata ({message})").into()
        }
        other => other.to_string().into(),
    })
}

impl Database {
    /// Reads a file, which is looked at again each `interval` seconds if that is not 0.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn open(path: PathBuf, interval: i64) -> Result<Database, DatabaseError> {
        let (contents, now) = (RefCell::new(read(&path)?), Cell::new(clock::now().sec));
        Ok(Database { path, contents, interval, last_check: now.clone(), last_change: now, coming: RefCell::default() })
    }

    pub(super) fn path(&self) -> &FilePath {
        &self.path
    }

    pub(super) fn reloads(&self) -> bool {
        self.interval > 0
    }

    /// Adds what the database says of an address; whether it says anything.
    pub(super) fn find(&self, address: IpAddr, path: &Path, out: &mut Vec<u8>) -> bool {
        let contents = self.contents.borrow();
        // A damaged record is like none.
        let Ok(record) = contents.lookup(address) else { return false };
        let found = path.elements(true).map(|elements| record.decode_path::<Text>(&elements));
        let found = match found {
            Some(Ok(Some(found))) => Some(found),
            _ => path.elements(false).and_then(|elements| record.decode_path::<Text>(&elements).ok().flatten()),
        };
        match found {
            Some(Text(Some(text))) => {
                out.extend_from_slice(&text);
                true
            }
            _ => false,
        }
    }

    /// Adds a fact about the database itself; whether there is such a fact.
    pub(super) fn metadata(&self, field: &str, out: &mut Vec<u8>) -> bool {
        let number = match field {
            "build_epoch" => self.contents.borrow().metadata().build_epoch,
            "last_check" => self.last_check.get().unsigned_abs(),
            "last_change" => self.last_change.get().unsigned_abs(),
            _ => return false,
        };
        // Writing to a Vec cannot fail.
        write!(out, "{number}").is_ok()
    }

    /// Looks whether the file has changed, if it is time, and takes what was read of it since. Reading is a thread's work: a large database
    /// would keep the worker from everything else.
    pub(super) fn refresh<C: Client>(&self, session: &C) {
        self.take(session);
        let now = clock::now().sec;
        if self.coming.borrow().is_some() || self.last_check.get() + self.interval > now {
            return;
        }
        self.last_check.set(now);
        let shown = self.path.display();
        let time = match fs::metadata(&self.path) {
            Ok(facts) => facts.mtime(),
            Err(error) => {
                log_client!(session, Level::Emerg, "stat() \"{shown}\" failed {}", describe(&error));
                return;
            }
        };
        if time <= self.last_change.get() {
            return;
        }
        let (sender, receiver) = channel();
        let path = self.path.clone();
        let started = thread::Builder::new().name("geoip2".into()).spawn(move || drop(sender.send(read(&path))));
        match started {
            Ok(_) => *self.coming.borrow_mut() = Some((receiver, time)),
            Err(error) => log_client!(session, Level::Error, "MMDB_open(\"{shown}\") failed to reload - {}", describe(&error)),
        }
    }

    fn take<C: Client>(&self, session: &C) {
        let mut coming = self.coming.borrow_mut();
        let Some((receiver, time)) = &*coming else { return };
        let shown = self.path.display();
        match receiver.try_recv() {
            Ok(Ok(contents)) => {
                self.contents.replace(contents);
                self.last_change.set(*time);
                log_client!(session, Level::Info, "Reload MMDB \"{shown}\"");
            }
            Ok(Err(why)) => log_client!(session, Level::Error, "MMDB_open(\"{shown}\") failed to reload - {why}"),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {}
        }
        *coming = None;
    }
}

impl Path {
    pub(super) fn new(words: impl Iterator<Item = String>) -> Path {
        Path { words: words.collect() }
    }

    /// The path for the crate: words that are numbers are places in lists, or keys like others. There is none of the first kind without numbers.
    fn elements(&self, places: bool) -> Option<Vec<PathElement<'_>>> {
        let place = |word: &str| match word.strip_prefix('-') {
            Some(back) => back.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).map(PathElement::IndexFromEnd),
            None => word.parse::<usize>().ok().map(PathElement::Index),
        };
        if !places {
            return Some(self.words.iter().map(|word| PathElement::Key(word)).collect());
        }
        self.words
            .iter()
            .any(|word| place(word).is_some())
            .then(|| self.words.iter().map(|word| place(word).unwrap_or(PathElement::Key(word))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_tests::{Made, database};
    use super::*;

    /// Whatever byte of a file is wrong, what comes is a value, none, or an error.
    #[test]
    fn a_damaged_database_is_an_error_or_has_no_record() {
        let record = || {
            Made::map([
                (
                    "a",
                    Made::map([("b", Made::Text("text")), ("c", Made::List(vec![Made::Number(7), Made::Double(0.25), Made::Flag(false)]))]),
                ),
                ("d", Made::Text("long text that is longer than twenty-nine bytes, which needs another form of length")),
            ])
        };
        let whole = database(&[("10.0.0.0/9", record()), ("10.128.0.0/9", record()), ("2001:db8::/33", record())]);
        let path = |text: &str| Path::new(text.split(' ').map(str::to_owned));
        let paths = ["a b", "a c 0", "a c -1", "d", "a", "x y"].map(path);
        let try_out = |bytes: Vec<u8>| {
            let Ok(contents) = Reader::from_source(bytes) else { return 0 };
            let zero = || Cell::new(0);
            let database = Database {
                path: PathBuf::new(),
                contents: RefCell::new(contents),
                interval: 0,
                last_check: zero(),
                last_change: zero(),
                coming: RefCell::default(),
            };
            let addresses = ["10.1.1.1", "10.200.0.1", "192.0.2.1", "2001:db8::1", "::"].map(|text| text.parse().unwrap());
            addresses
                .iter()
                .flat_map(|address| paths.iter().map(move |path| (address, path)))
                .filter(|(address, path)| {
                    let mut out = Vec::new();
                    database.find(**address, path, &mut out)
                })
                .count()
        };
        assert_eq!(try_out(whole.clone()), 12);
        for at in 0..whole.len() {
            for value in [0, 0xff, whole[at] ^ 0x20, whole[at].wrapping_add(1)] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                try_out(bytes);
            }
            try_out(whole[..at].to_vec());
            try_out(whole[at..].to_vec());
        }
    }
}
