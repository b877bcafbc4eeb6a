//! `lunette resty`: runs Lua from the command line with the whole API at hand, as OpenResty's `resty` does.
//!
//! A server without listeners is started on a configuration in a directory of its own; its worker runs the code in a
//! timer and then ends.

mod configuration;
mod options;

use self::options::{Mode, Options};
use crate::command_error::CommandError;
use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use sys::signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// What the worker runs.
const BOOT: &str = include_str!("boot.lua");

/// Signals that are the code's affair: this process only passes them on.
const PASSED_ON: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Runs the command; the result is its exit code.
pub(crate) fn run(arguments: &[OsString]) -> i32 {
    match options::parse(arguments) {
        Ok(Mode::Help) => {
            print!("{}", options::USAGE);
            0
        }
        Ok(Mode::Version(letter)) => match std::env::current_exe().and_then(|program| Command::new(program).arg(letter).status()) {
            Ok(status) => code_of(status),
            Err(error) => print_error(&format!("cannot run: {error}")),
        },
        Ok(Mode::Run(mut options)) => match start(&mut options) {
            Ok(code) => code,
            Err(error) => print_error(&error.to_string()),
        },
        Err(error) => print_error(&error.to_string()),
    }
}

fn print_error(message: &str) -> i32 {
    eprintln!("resty: {message}");
    1
}

/// A directory that goes when this value does.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, CommandError> {
        let base = std::env::temp_dir();
        let mut last = CommandError::from("");
        for attempt in 0..100 {
            let path = base.join(format!("resty_{}_{attempt}", std::process::id()));
            // Nobody else may look into it or have made it.
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                Err(error) => last = format!("cannot make {}: {error}", path.display()).into(),
            }
        }
        Err(last)
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<(), CommandError> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()).into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind lies where temporary files are cleared away.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The code on standard input, if that is what is to be run: it is not asked for at a terminal unless by `-`.
fn standard_input(options: &Options) -> Result<Option<Vec<u8>>, CommandError> {
    let mut input = std::io::stdin().lock();
    let asked = options.file.as_deref().is_some_and(|file| file == "-");
    let nothing = options.file.is_none() && options.inline.is_empty();
    if !asked && !nothing {
        return Ok(None);
    }
    let mut source = Vec::new();
    if asked || !input.is_terminal() {
        input.read_to_end(&mut source).map_err(|error| format!("cannot read standard input: {error}"))?;
    }
    if nothing && source.is_empty() {
        return Err("neither Lua input file nor -e \"\" option specified.".into());
    }
    Ok(Some(source))
}

fn start(options: &mut Options) -> Result<i32, CommandError> {
    options.source = standard_input(options)?;
    if options.source.is_none()
        && let Some(file) = &options.file
        && !Path::new(file).exists()
    {
        return Err(format!("Lua input file {} not found.", Path::new(file).display()).into());
    }
    let scratch = Scratch::new()?;
    for folder in ["conf", "logs"] {
        let path = scratch.0.join(folder);
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    }
    scratch.write("conf/nginx.conf", configuration::text(options)?.as_bytes())?;
    scratch.write("conf/boot.lua", BOOT.as_bytes())?;
    scratch.write("conf/task.lua", &configuration::task(options))?;
    let program = match &options.program {
        Some(program) => PathBuf::from(program),
        None => std::env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?,
    };
    let mut prefix = scratch.0.clone().into_os_string();
    prefix.push("/");
    let mut command = Command::new(&program);
    command.arg("-p").arg(prefix).args(["-c", "conf/nginx.conf", "-e", "stderr"]);
    supervise(command).map_err(|error| format!("cannot run {}: {error}", program.display()).into())
}

/// Runs the command to its end and passes signals on.
fn supervise(mut command: Command) -> std::io::Result<i32> {
    let awaited = [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM];
    // Before there is a child, so that none is lost in between. It has its signals back before its program starts.
    sys::signal::block(&awaited)?;
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(code_of(status));
        }
        if let Some(received) = sys::signal::wait(&awaited, None)?
            && PASSED_ON.contains(&received.number)
        {
            // The child may have ended meanwhile.
            let _ = i32::try_from(child.id()).map(|pid| sys::process::kill(pid, received.number));
        }
    }
}

/// A shell's exit code for it.
fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
