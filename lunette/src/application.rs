//! The server, as the process model sees it.

use crate::advice;
use crate::banner;
use crate::generation::{self, Generation};
use crate::layout::Layout;
use crate::{opening, registry, worker};
use base::errno::describe;
use base::log::{ErrorLog, Level, LogFile, Sink, Target};
use conf::dump::dump;
use daemon::{Application, Diagnostic, Handover, LoadError, LoadMode, Options, Settings, WorkerSetup};
use http::metrics;
use lua_api::ServerInfo;
use session::thread_pools::Pools;
use shm::{Tally, Zones};
use std::io::{self, Write};

/// The one value of the process.
#[derive(Default)]
pub(crate) struct Server {
    /// The first configuration is being loaded, so a person may be reading standard error.
    started: bool,
    /// What all workers count, of all configurations; made with the first one that runs.
    tally: Option<Tally>,
    /// What the old binary has left.
    legacy: Handover,
}

/// The variables that `env` gives values.
fn named(env: &[daemon::EnvEntry]) -> Vec<(Vec<u8>, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = |text: &std::ffi::OsStr| text.as_bytes().to_vec();
    env.iter().filter_map(|entry| Some((bytes(&entry.name), bytes(entry.value.as_ref()?)))).collect()
}

/// Makes the machines of Lua and runs `init_by_lua*`.
fn open_lua(generation: &mut Generation) -> Result<(), LoadError> {
    let settings = &mut generation.settings;
    let surroundings = ServerInfo {
        workers: settings.worker_processes.max(1),
        master: settings.master_process,
        debug: settings.error_log.enabled(Level::Debug),
        configure: registry::configure_arguments(),
        env: named(&settings.env),
        pools: generation.global.get::<Pools>().existing(),
    };
    let failed = |message| LoadError { level: Level::Error, ..LoadError::new(message) };
    settings.privileged_agent = false;
    if let Some(http) = &generation.http {
        lua_api::open(http, &surroundings, &settings.error_log).map_err(failed)?;
        settings.privileged_agent |= lua_api::agent_connections(http).is_some();
    }
    if let Some(stream) = &generation.stream {
        stream_lua::open(stream, &surroundings, &settings.error_log).map_err(failed)?;
        settings.privileged_agent |= stream_lua::agent_connections(stream).is_some();
    }
    Ok(())
}

impl Application for Server {
    type Generation = Generation;

    fn conf_file(&self, options: &Options) -> String {
        Layout::new(options).conf.display().to_string()
    }

    fn early_log(&self, options: &Options) -> ErrorLog {
        let Some(path) = Layout::new(options).error_log else { return ErrorLog::stderr(Level::Notice) };
        match LogFile::open(&path) {
            Ok(file) => ErrorLog::new(vec![Target { sink: Sink::File(file), level: Level::Notice }]),
            Err(error) => {
                let text = format!("could not open error log file: open() \"{}\" failed {}", path.display(), describe(&error));
                drop(writeln!(io::stderr(), "nginx: [alert] {text}"));
                ErrorLog::new(Vec::new())
            }
        }
    }

    fn load(&mut self, options: &Options, previous: Option<&Generation>, mode: LoadMode) -> Result<Generation, LoadError> {
        let mut generation = generation::load(options, &Layout::new(options), previous, &self.legacy, mode)?;
        if mode == LoadMode::Signal {
            // A signal changes nothing: its sender need not hear of the configuration's flaws again.
            generation.warnings.clear();
        }
        Ok(generation)
    }

    fn legacy(&self, generation: &Generation) -> Handover {
        Handover { message: modules::ssl::legacy(&generation.global), memory: generation.global.get::<Zones>().files() }
    }

    fn inherit(&mut self, legacy: Handover) {
        self.legacy = legacy;
    }

    fn open(&mut self, generation: &mut Generation, _: Option<&Generation>, mode: LoadMode) -> Result<(), LoadError> {
        opening::open(generation)?;
        if mode == LoadMode::Run {
            // Lines are no longer kept for an earlier configuration.
            base::log::set_witness(None);
            open_lua(generation)?;
        }
        if mode == LoadMode::Run && !self.started {
            banner::print(generation.http.as_deref(), generation.stream.as_deref());
        }
        if mode == LoadMode::Run && self.tally.is_none() {
            // Without memory for it each worker counts for itself.
            self.tally = Tally::new().ok();
        }
        if mode == LoadMode::Run {
            self.started = true;
            // What it did not take over is closed.
            generation.global.get::<Zones>().drop_unclaimed();
            self.legacy = Handover::default();
        }
        Ok(())
    }

    fn warnings(&mut self, generation: &mut Generation) -> Vec<(Level, String)> {
        std::mem::take(&mut generation.warnings)
    }

    fn advice(&self, options: &Options) -> Vec<Diagnostic> {
        if options.advise { advice::advice(&Layout::new(options)) } else { Vec::new() }
    }

    fn settings<'a>(&self, generation: &'a Generation) -> &'a Settings {
        &generation.settings
    }

    fn dump(&self, generation: &Generation, out: &mut dyn Write) -> io::Result<()> {
        let mut text = Vec::new();
        dump(&generation.files, &mut text);
        out.write_all(&text)
    }

    fn reopen(&mut self, generation: &Generation) {
        opening::reopen(generation);
    }

    fn child_died(&mut self, generation: &Generation, pid: i32) {
        if let (Some(tally), Ok(pid)) = (&self.tally, u32::try_from(pid)) {
            if let Some(account) = tally.account_of(pid) {
                generation.global.get::<Zones>().meters.retire(account);
            }
            tally.close(pid, metrics::is_gauge);
        }
        let lost = generation.global.get::<Zones>().reap(pid);
        for loss in lost {
            let shm::RecoveryReport { name, parts, of } = loss;
            let log = &generation.settings.error_log;
            base::log!(
                log,
                Level::Alert,
                0,
                "process {pid} died while it changed shared dictionary \"{name}\": {parts} of its {of} parts emptied"
            );
        }
    }

    fn run_worker(&mut self, generation: Generation, seat: WorkerSetup) -> i32 {
        worker::run(generation, seat, self.tally.as_ref())
    }
}
