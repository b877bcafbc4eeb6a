//! `-t --format=json`: the configuration check for editors and other programs. Nothing else is printed.

use std::io::Write;

use base::log::{ErrorLog, Level};
use net::listener::{Listeners, Purpose};

use crate::application::{Application, LoadMode};
use crate::cli::Options;
use crate::console::Console;
use crate::diagnostics::{Diagnostic, json};
use crate::guard::guarded;
use crate::pidfile;

/// Prints what is wrong. Returns the exit code: 0 if the configuration can be used.
pub(crate) fn test<A: Application>(app: &mut A, options: &Options, console: Console) -> i32 {
    let console = Console { terminal: false, log: without_stderr(console.log), ..console };
    let problems = found(app, options, &console);
    let written = std::io::stdout().lock().write_all(json(&problems).as_bytes());
    i32::from(written.is_err() || problems.iter().any(Diagnostic::is_fatal))
}

/// What would go to standard error is in the list.
fn without_stderr(log: ErrorLog) -> ErrorLog {
    let is_file = |target: &base::log::Target| !matches!(target.sink, base::log::Sink::Stderr);
    ErrorLog::new(log.targets().iter().filter(|target| is_file(target)).cloned().collect())
}

fn found<A: Application>(app: &mut A, options: &Options, console: &Console) -> Vec<Diagnostic> {
    let mut generation = match guarded(|| app.load(options, None, LoadMode::Test)) {
        Ok(generation) => generation,
        Err(error) => return error.problems(),
    };
    let mut problems: Vec<_> = app.warnings(&mut generation).iter().map(Diagnostic::warning).collect();
    problems.extend(app.advice(options));
    let mut report = |level: Level, message: &str| {
        if level <= Level::Warn {
            problems.push(Diagnostic { level, message: message.to_owned(), position: None });
        }
    };
    let pid = app.settings(&generation).pid.clone();
    if !pidfile::probe(&pid, console) {
        report(Level::Emerg, &format!("the pid file {} cannot be written", pid.display()));
    }
    if let Err(error) = guarded(|| app.open(&mut generation, None, LoadMode::Test)) {
        problems.extend(error.problems());
        return problems;
    }
    let settings = app.settings(&generation);
    // What goes wrong has been reported.
    let _ = Listeners::new().open(&settings.listeners, settings.worker_processes, Purpose::Test, &mut report);
    problems
}
