//! The open files of a worker.
//!
//! Without `open_file_cache` a file of up to 64 KB stays in memory and is looked at again with one stat(2) at most a
//! second later; larger ones are opened for each request, where opening costs nothing beside sending, and a deleted
//! file never keeps its disk blocks. A file changed less than two seconds ago is looked at every time: its times are
//! too coarse to tell two writes of one instant apart. `open_file_cache` also keeps descriptors and directories, and
//! `open_file_cache_errors` failures.

use super::lru::Lru;
use super::open::{Failure, Identity, Kind, Links, identify, open_file, read_whole};
use base::clock;
use bytes::Bytes;
use http::path::MappedPath;
use http::{Core, Request};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::rc::Rc;

/// Largest file kept in memory, bytes.
pub const SMALL: u64 = 64 * 1024;
/// Most bytes kept in memory by one worker.
const MEMORY: usize = 32 << 20;
/// Most entries without `open_file_cache`.
const ENTRIES: usize = 20_000;
/// Most descriptors that are kept where no `open_file_cache` allows more.
const DESCRIPTORS: usize = 256;
/// How long what is in memory may be believed, milliseconds.
const BELIEF: u64 = 1000;
/// Age in seconds from which a file's times identify its content.
const SETTLED: i64 = 2;

/// Where the bytes of a file are.
#[derive(Debug)]
pub enum Content {
    /// It is not a regular file.
    None,
    /// Here.
    Memory(Bytes),
    /// Behind a descriptor.
    Open(Rc<File>),
}

/// A file ready to be sent.
#[derive(Debug)]
pub struct Opened {
    /// Its state when it was opened.
    pub identity: Identity,
    /// Its bytes.
    pub content: Content,
    /// Its entity tag, quotes included (nginx's `"MTIME-SIZE"` in hexadecimal).
    pub etag: Box<[u8]>,
}

impl Opened {
    fn new(identity: Identity, content: Content) -> Opened {
        let etag = format!("\"{:x}-{:x}\"", identity.modified, identity.size).into_bytes().into();
        Opened { identity, content, etag }
    }

    /// Length in bytes of what will be sent.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            _ => self.identity.size,
        }
    }

    fn memory(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

struct Entry {
    result: Result<Rc<Opened>, Failure>,
    checked: u64,
    believed: u64,
    used: u64,
    uses: u64,
}

/// What `open_file_cache*` say, or the rules without them.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    links: Links,
    cached: bool,
    configured: bool,
    max: usize,
    valid: u64,
    inactive: u64,
    min_uses: u64,
    errors: bool,
}

impl Policy {
    /// The policy of a location.
    pub fn of(core: &Core) -> Policy {
        let links = match core.disable_symlinks {
            None | Some(0) => Links::Follow,
            Some(1) => Links::Refuse,
            Some(_) => Links::SameOwner,
        };
        let given = core.open_file_cache.flatten();
        let off = matches!(core.open_file_cache, Some(None));
        Policy {
            links,
            cached: !off && links == Links::Follow,
            configured: given.is_some(),
            max: given.map_or(ENTRIES, |g| g.max),
            valid: given.map_or(BELIEF, |_| core.open_file_cache_valid.unwrap_or(60).saturating_mul(1000)),
            inactive: given.map_or(60, |g| g.inactive).saturating_mul(1000),
            min_uses: core.open_file_cache_min_uses.unwrap_or(1),
            errors: given.is_some() && core.open_file_cache_errors.unwrap_or(false),
        }
    }
}

/// The cache of one worker.
#[derive(Default)]
pub struct Files {
    entries: RefCell<Lru<Entry>>,
    memory: Cell<usize>,
    open: Cell<usize>,
    path: RefCell<MappedPath>,
}

impl Files {
    /// A path buffer to map into; give it back with [`Files::put_back`].
    pub fn path(&self) -> MappedPath {
        self.path.take()
    }

    /// Returns the buffer of [`Files::path`].
    pub fn put_back(&self, path: MappedPath) {
        self.path.replace(path);
    }

    /// Forgets a path that this process has just changed.
    pub fn invalidate(&self, path: &[u8]) {
        let removed = self.entries.borrow_mut().remove(path);
        self.release(removed);
    }

    fn release(&self, entry: Option<Entry>) {
        if let Some(Ok(opened)) = entry.map(|e| e.result) {
            self.memory.set(self.memory.get().saturating_sub(opened.memory()));
            if matches!(opened.content, Content::Open(_)) {
                self.open.set(self.open.get().saturating_sub(1));
            }
        }
    }

    /// The cached answer for `path`, checked if it is due.
    fn cached(&self, path: &[u8], now: u64) -> Option<Result<Rc<Opened>, Failure>> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.get(path)?;
        entry.used = now;
        entry.uses += 1;
        if now.saturating_sub(entry.checked) < entry.believed {
            return Some(entry.result.clone());
        }
        let same = match (&entry.result, identify(path)) {
            (Ok(opened), Ok(identity)) => opened.identity == identity,
            (Err(old), Err(new)) => old.errno == new.errno,
            _ => false,
        };
        if same {
            entry.checked = now;
            if let Ok(opened) = &entry.result {
                entry.believed = entry.believed.max(trusted_for(opened, BELIEF));
            }
            return Some(entry.result.clone());
        }
        let removed = entries.remove(path);
        drop(entries);
        self.release(removed);
        None
    }

    fn store(&self, path: &[u8], policy: &Policy, result: &Result<Rc<Opened>, Failure>, now: u64) {
        let believed = match result {
            Ok(opened) => match opened.content {
                Content::Memory(_) => trusted_for(opened, policy.valid.min(BELIEF)),
                _ if policy.configured => policy.valid,
                _ if self.open.get() >= DESCRIPTORS => return,
                _ => trusted_for(opened, BELIEF),
            },
            Err(_) if policy.errors => policy.valid,
            Err(_) => return,
        };
        if policy.min_uses > 1 && matches!(result, Ok(o) if matches!(o.content, Content::Open(_))) {
            // The descriptor of a rarely used file is not worth keeping; nginx counts uses before it does.
            return;
        }
        if matches!(result, Ok(o) if matches!(o.content, Content::Open(_))) {
            self.open.set(self.open.get() + 1);
        }
        let size = result.as_ref().map_or(0, |o| o.memory());
        self.make_room(policy, size, now);
        self.memory.set(self.memory.get() + size);
        let entry = Entry { result: result.clone(), checked: now, believed, used: now, uses: 1 };
        let replaced = self.entries.borrow_mut().insert(path, entry);
        self.release(replaced);
    }

    fn make_room(&self, policy: &Policy, size: usize, now: u64) {
        let mut expired = 0;
        loop {
            let removed = {
                let mut entries = self.entries.borrow_mut();
                let Some(oldest) = entries.oldest() else { return };
                let idle = expired < 2 && now.saturating_sub(oldest.used) > policy.inactive;
                if !idle && entries.len() < policy.max && self.memory.get() + size <= MEMORY {
                    return;
                }
                expired += 1;
                entries.pop_oldest()
            };
            self.release(removed);
        }
    }

    fn open(&self, path: &[u8], policy: &Policy) -> Result<Rc<Opened>, Failure> {
        let now = clock::monotonic_ms();
        if policy.cached
            && let Some(result) = self.cached(path, now)
        {
            return result;
        }
        let result = load(path, 0, policy).map(Rc::new);
        if policy.cached {
            self.store(path, policy, &result, now);
        }
        result
    }
}

fn trusted_for(opened: &Opened, believed: u64) -> u64 {
    let identity = &opened.identity;
    let age = clock::now().sec.saturating_sub(identity.changed.max(identity.modified));
    if age >= SETTLED { believed } else { 0 }
}

fn load(path: &[u8], root: usize, policy: &Policy) -> Result<Opened, Failure> {
    let (file, identity) = open_file(path, policy.links, root)?;
    let content = match identity.kind {
        Kind::File if policy.cached && identity.size <= SMALL => Content::Memory(read_whole(&file, identity.size)?.into()),
        Kind::File => Content::Open(Rc::new(file)),
        _ => Content::None,
    };
    Ok(Opened::new(identity, content))
}

/// Opens the file of a request, or takes it from the worker's cache.
///
/// # Errors
/// The failed call, to be logged and answered by [`super::serve::refuse`].
pub fn open(request: &Request, path: &MappedPath) -> Result<Rc<Opened>, Failure> {
    let policy = request.with_location(|l| Policy::of(&l.core));
    if policy.links != Links::Follow {
        let (links, from) = trusted(request, &policy, &path.bytes);
        return load(&path.bytes, from, &Policy { links, ..policy }).map(Rc::new);
    }
    request.worker.state::<Files>().open(&path.bytes, &policy)
}

/// `disable_symlinks … from=`: how many bytes of a path are beyond suspicion; a path that is all of it is not checked.
fn trusted(request: &Request, policy: &Policy, path: &[u8]) -> (Links, usize) {
    let from = request.with_location(|l| l.core.disable_symlinks_from.as_ref().map(|from| from.to_vec(request)));
    let Some(from) = from.filter(|from| !from.is_empty() && path.starts_with(from)) else { return (policy.links, 0) };
    match path.get(from.len()) {
        None => (Links::Follow, 0),
        Some(b'/') => (policy.links, from.len()),
        Some(_) if from.ends_with(b"/") => (policy.links, from.len() - 1),
        Some(_) => (policy.links, 0),
    }
}

/// Refuses a path with a link that `disable_symlinks` forbids.
///
/// # Errors
/// The failed call, `ELOOP` for the link.
pub(crate) fn check_links(request: &Request, path: &[u8]) -> Result<(), Failure> {
    let policy = request.with_location(|l| Policy::of(&l.core));
    if policy.links == Links::Follow {
        return Ok(());
    }
    let (links, from) = trusted(request, &policy, path);
    open_file(path, links, from).map(|_| ())
}

/// What stands at `path`, without reading it.
///
/// # Errors
/// As [`open`].
pub(crate) fn examine(request: &Request, path: &MappedPath) -> Result<Kind, Failure> {
    let policy = request.with_location(|l| Policy::of(&l.core));
    if policy.links != Links::Follow {
        let (links, from) = trusted(request, &policy, &path.bytes);
        return open_file(&path.bytes, links, from).map(|(_, identity)| identity.kind);
    }
    let files = request.worker.state::<Files>();
    if policy.configured {
        return files.open(&path.bytes, &policy).map(|o| o.identity.kind);
    }
    let cached = if policy.cached { files.cached(&path.bytes, clock::monotonic_ms()) } else { None };
    match cached {
        Some(result) => result.map(|o| o.identity.kind),
        None => identify(&path.bytes).map(|identity| identity.kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::core::OpenFileCache;
    use std::os::unix::ffi::OsStrExt;
    use std::time::{Duration, SystemTime};

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("lunette-cache-{name}-{}", std::process::id()))
    }

    fn text(opened: &Opened) -> Vec<u8> {
        match &opened.content {
            Content::Memory(bytes) => bytes.to_vec(),
            _ => b"not in memory".to_vec(),
        }
    }

    #[test]
    fn a_fresh_file_is_looked_at_every_time() {
        let path = scratch("fresh");
        let name = path.as_os_str().as_bytes();
        let files = Files::default();
        let policy = Policy::of(&Core::default());
        std::fs::write(&path, b"one").unwrap();
        assert_eq!(text(&files.open(name, &policy).unwrap()), b"one");
        std::fs::write(&path, b"three").unwrap();
        assert_eq!(text(&files.open(name, &policy).unwrap()), b"three");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(files.open(name, &policy).unwrap_err().status(), 404);
        assert_eq!(files.memory.get(), 0);
    }

    #[test]
    fn memory_is_bounded_and_accounted() {
        let files = Files::default();
        let core = Core { open_file_cache: Some(Some(OpenFileCache { max: 2, inactive: 60 })), ..Core::default() };
        let policy = Policy::of(&core);
        let paths: Vec<_> = (0..3).map(|i| scratch(&format!("bound{i}"))).collect();
        for path in &paths {
            std::fs::write(path, [b'x'; 100]).unwrap();
            std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
            files.open(path.as_os_str().as_bytes(), &policy).unwrap();
        }
        assert_eq!(files.entries.borrow().len(), 2);
        assert_eq!(files.memory.get(), 200);
        files.invalidate(paths[2].as_os_str().as_bytes());
        assert_eq!(files.memory.get(), 100);
        for path in paths {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn off_means_off() {
        let path = scratch("off");
        std::fs::write(&path, b"one").unwrap();
        let files = Files::default();
        let policy = Policy::of(&Core { open_file_cache: Some(None), ..Core::default() });
        let opened = files.open(path.as_os_str().as_bytes(), &policy).unwrap();
        assert!(matches!(opened.content, Content::Open(_)));
        assert!(files.entries.borrow().is_empty());
        std::fs::remove_file(&path).unwrap();
    }
}
