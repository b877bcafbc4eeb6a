//! One configuration, from its text to what workers serve.

use crate::diagnostics::{refusal, refusals, warnings};
use crate::layout::Layout;
use crate::lua_check;
use crate::main_level::{self, MainLevel};
use crate::{identity, protocols, registry};
use base::log::{ErrorLog, Level, Sink, Target};
use conf::context::Context;
use conf::include::Disk;
use conf::parser::{Parsed, Parser};
use conf::row::{Table, Unsupported, Warnings};
use conf::scope::{Frame, Scope};
use conf::tree::{Error, Files};
use daemon::{Handover, LoadError, LoadMode, Options, Settings};
use engine::directives;
use engine::listen::Endpoints;
use engine::nodes::Finished;
use http::resources::ErrorFiles;
use http::root::MainContext;
use http::{Http, Module};
use shm::Zones;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::rc::Rc;
use stream::Configuration;

/// A configuration that has been accepted.
pub(crate) struct Generation {
    /// For the process model.
    pub(crate) settings: Settings,
    /// The text of all files, for `-T`.
    pub(crate) files: Files,
    /// Values of the whole configuration: zones, log files, directories.
    pub(crate) global: Rc<Scope>,
    /// The modules that it was read with.
    pub(crate) modules: Rc<[Module]>,
    /// `None` when there is no `http` block.
    pub(crate) http: Option<Rc<Http>>,
    /// The modules of `stream`.
    pub(crate) stream_modules: Rc<[stream::Module]>,
    /// `None` when there is no `stream` block. Its listeners come behind those of `http`.
    pub(crate) stream: Option<Rc<Configuration>>,
    /// `worker_connections`.
    pub(crate) connections: usize,
    /// Warnings that no one has seen yet.
    pub(crate) warnings: Vec<(Level, String)>,
}

/// Reads the command line's directives and the configuration file.
/// `legacy` is what an old binary has left.
///
/// # Errors
/// nginx's message for the first thing that is wrong, behind all that this server lacks.
pub(crate) fn load(
    options: &Options,
    places: &Layout,
    previous: Option<&Generation>,
    legacy: &Handover,
    mode: LoadMode,
) -> Result<Generation, LoadError> {
    let frame = Frame::default();
    frame.global.get::<MainContext>().paths = Rc::new(places.paths.clone());
    *frame.global.get() = protocols::listen_protocols();
    if let Some(previous) = previous {
        *frame.global.get::<Zones>() = previous.global.get::<Zones>().successor();
        modules::ssl::inherit(&previous.global, &frame.global);
    } else {
        modules::ssl::take_over(&legacy.message, &legacy.memory, &frame.global);
    }
    let (modules, streams) = (registry::modules(), registry::stream_modules());
    #[cfg(test)]
    let modules = crate::tests::among(&modules);
    let table = directives::table(&modules, &streams, main_level::rows());
    let mut parser = Parser::new(Disk, places.paths.conf_prefix.as_os_str().as_bytes());
    let read = read(options, places, &mut parser, &table, &frame, mode);
    let files = parser.into_files();
    let global = frame.global.clone();
    let loaded = accept(places, frame, read, modules, streams, &files);
    let mut warnings = warnings(&global.take::<Warnings>().list, &files);
    match loaded {
        Ok(generation) => {
            warnings.extend_from_slice(&generation.warnings);
            Ok(Generation { warnings, files, ..generation })
        }
        Err(error) => Err(LoadError { warnings: warnings.into(), ..error }),
    }
}

/// What becomes of a configuration that was read.
fn accept(
    places: &Layout,
    frame: Frame,
    read: Result<Vec<Error>, Error>,
    modules: Rc<[Module]>,
    streams: Rc<[stream::Module]>,
    files: &Files,
) -> Result<Generation, LoadError> {
    let mut errors = frame.global.take::<Unsupported>().list;
    let follows = |error: &Error| !errors.is_empty() && error.message.starts_with("unknown \"");
    match read {
        Err(error) if follows(&error) => {}
        Err(error) => errors.push(error),
        Ok(faults) => errors.extend(faults),
    }
    if let Some(refused) = refusals(&errors, files) {
        return Err(refused);
    }
    build(places, frame, modules, streams, files)
}

/// Reads everything; under `-t` it also compiles the Lua code and returns what is wrong with that.
fn read(
    options: &Options,
    places: &Layout,
    parser: &mut Parser<Disk>,
    table: &Table,
    frame: &Frame,
    mode: LoadMode,
) -> Result<Vec<Error>, Error> {
    if let Some(text) = &options.directives {
        let parsed = parser.parse_command_line(&text.clone().into_vec());
        *frame.global.get() = parser.files().names();
        directives::error_log::read_ahead(&parsed.block, table, frame);
        take(&parsed, table, frame)?;
    }
    let parsed = parser.parse_file(places.conf.as_os_str().as_bytes());
    *frame.global.get() = parser.files().names();
    directives::error_log::read_ahead(&parsed.block, table, frame);
    complete_log(places, &frame.global);
    take(&parsed, table, frame)?;
    Ok(if matches!(mode, LoadMode::Test | LoadMode::Dump) { lua_check::faults(&parsed.block) } else { Vec::new() })
}

/// nginx acts on each directive as it reads it: what precedes an error of the grammar is looked at first.
fn take(parsed: &Parsed, table: &Table, frame: &Frame) -> Result<(), Error> {
    frame.global.get::<MainContext>().partial = parsed.error.is_some();
    table.read(&parsed.block, Context::MAIN, frame)?;
    parsed.error.clone().map_or(Ok(()), Err)
}

fn build(
    places: &Layout,
    frame: Frame,
    modules: Rc<[Module]>,
    stream_modules: Rc<[stream::Module]>,
    files: &Files,
) -> Result<Generation, LoadError> {
    let main = frame.global.take::<MainLevel>();
    if main.events.is_none() {
        return Err(LoadError::new("no \"events\" section in configuration"));
    }
    directives::threads::check(&frame.global).map_err(|error| refusal(&error, files))?;
    let named = frame.global.get::<MainContext>().log.clone();
    let log = named.unwrap_or_else(|| ErrorLog::new(vec![default_target(places, &frame.global)]));
    let mut settings = Settings::new(places.paths.resolve(identity::PID.as_bytes()), log);
    let connections = main.apply(&mut settings, &places.paths)?;
    let warnings = main_level::warnings(&settings, connections).into_iter().map(|text| (Level::Warn, text)).collect();
    let finished = frame.global.take::<Finished>().http;
    let (http, endpoints) = finished.map_or_else(|| (None, Endpoints::default()), |(http, endpoints)| (Some(http), endpoints));
    let (stream, specs) = frame.global.take::<engine::stream::Finished>().stream.unzip();
    settings.listeners = endpoints.specs;
    settings.listeners.extend(specs.into_iter().flatten());
    let sockets = settings.listeners.len();
    if connections <= sockets {
        return Err(LoadError::new(format!("{connections} worker_connections are not enough for {sockets} listening sockets")));
    }
    settings.transparent = frame.global.get::<upstream::bind::Transparent>().0;
    settings.keep_stderr = frame.global.get::<ErrorFiles>().uses_stderr();
    let files = Files::default();
    Ok(Generation { settings, files, global: frame.global, modules, http, stream_modules, stream, connections, warnings })
}

/// Where a configuration logs that names no place.
fn default_target(places: &Layout, global: &Scope) -> Target {
    let sink = places.error_log.as_ref().map_or(Sink::Stderr, |path| Sink::File(global.get::<ErrorFiles>().get(path)));
    Target { sink, level: Level::Error }
}

/// Errors go to a file too where the main level's logs are all somewhere else (`syslog:`).
fn complete_log(places: &Layout, global: &Scope) {
    let Some(log) = global.get::<MainContext>().log.clone() else { return };
    if log.targets().iter().all(|target| matches!(target.sink, Sink::Custom(_))) {
        let targets = log.targets().iter().cloned().chain([default_target(places, global)]).collect();
        global.get::<MainContext>().log = Some(ErrorLog::new(targets));
    }
}
