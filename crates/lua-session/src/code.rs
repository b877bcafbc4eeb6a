//! Code in the configuration: inline or in a file, compiled when it is first needed.

use base::log::Level;
use conf::scope::Config;
use lua::{ChunkId, ErrorKind, Job, LuaError, LuaPhase, Started};
use lua_lib::Machine;
use session::paths::Paths;
use session::{Client, Complex, Session};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

enum Source<S> {
    Inline { text: Box<[u8]>, name: String },
    File(Complex<S>),
}

/// One directive's code.
pub struct Code<S> {
    source: Source<S>,
    /// Serial of the machine that compiled it, and the chunk there.
    compiled: Cell<Option<(u64, ChunkId)>>,
}

impl<S: Session> Code<S> {
    fn new(source: Source<S>) -> Rc<Code<S>> {
        Rc::new(Code { source, compiled: Cell::new(None) })
    }

    /// Inline code.
    pub fn inline(text: &[u8], name: String) -> Rc<Code<S>> {
        Code::new(Source::Inline { text: text.into(), name })
    }

    /// Code in a file.
    pub fn file(path: Complex<S>) -> Rc<Code<S>> {
        Code::new(Source::File(path))
    }

    /// Whether the code is in a file.
    pub fn is_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Its chunk in `machine`, compiled at the first time.
    ///
    /// # Errors
    /// The text to log, and the status that a content handler answers: 404 or 503 for a file, else 500.
    pub fn load(&self, machine: &Machine, session: Option<&Rc<S>>, paths: &Paths, cached: bool) -> Result<ChunkId, LoadError> {
        if let Some((serial, chunk)) = self.compiled.get()
            && serial == machine.serial
        {
            return Ok(chunk);
        }
        match &self.source {
            Source::Inline { text, name } => {
                let chunk = machine.vm.load_text(text, name).map_err(|error| LoadError {
                    text: [b"failed to load inlined Lua code: ".as_slice(), &error.message].concat(),
                    status: 500,
                    error,
                })?;
                self.compiled.set(Some((machine.serial, chunk)));
                Ok(chunk)
            }
            Source::File(path) => {
                let value: Cow<'_, [u8]> = match (path.literal(), session) {
                    (Some(text), _) => text.into(),
                    (None, Some(session)) => path.to_vec(&**session).into(),
                    (None, None) => path.source().into(),
                };
                let file = paths.resolve(&value);
                let chunk = machine.vm.load_file(&file, cached).map_err(|error| file_error(&file, error))?;
                if cached && path.literal().is_some() {
                    self.compiled.set(Some((machine.serial, chunk)));
                }
                Ok(chunk)
            }
        }
    }

    /// Loads it and runs it with the real globals as a job that may wait.
    ///
    /// # Errors
    /// It does not compile.
    pub(crate) fn start_init(
        &self,
        machine: &Machine,
        phase: LuaPhase,
        host: Rc<dyn lua::Host>,
        paths: &Paths,
    ) -> Result<Started, LuaError> {
        let chunk = self.load(machine, None, paths, true).map_err(|failed| failed.error)?;
        Ok(Job::start_global(&machine.vm, chunk, phase, host))
    }

    /// Loads and runs it on the main state, as at the start of a process.
    ///
    /// # Errors
    /// It does not compile or it failed.
    pub fn run_init(&self, machine: &Machine, phase: LuaPhase, host: Rc<dyn lua::Host>, paths: &Paths) -> Result<(), LuaError> {
        let chunk = self.load(machine, None, paths, true).map_err(|failed| failed.error)?;
        machine.vm.run_init(chunk, phase, Some(host))
    }
}

/// The code of one phase, by the phase's bit, as a level of the configuration has it; inner levels take it over.
pub struct PhaseCode<S, const PHASE: u32> {
    /// The code.
    pub code: Option<Rc<Code<S>>>,
}

impl<S, const PHASE: u32> Default for PhaseCode<S, PHASE> {
    fn default() -> Self {
        PhaseCode { code: None }
    }
}

impl<S: 'static, const PHASE: u32> Config for PhaseCode<S, PHASE> {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; code);
    }
}

fn file_error(file: &Path, error: LuaError) -> LoadError {
    const ENOENT: i32 = 2;
    let status = match error.kind {
        ErrorKind::File if error.errno == ENOENT => 404,
        ErrorKind::File => 503,
        _ => 500,
    };
    let text = format!("failed to load external Lua file \"{}\": ", file.display());
    LoadError { text: [text.as_bytes(), &error.message].concat(), status, error }
}

/// Code that cannot be loaded.
#[derive(Debug)]
pub struct LoadError {
    /// The line to log.
    pub text: Vec<u8>,
    /// What to answer.
    pub status: u16,
    /// The cause.
    pub error: LuaError,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// Logs it; returns the status.
    pub fn report(&self, session: &impl Client) -> u16 {
        session.log(Level::Error, &self.text);
        self.status
    }
}
