//! Messages of the master: to the error log and, until the start is complete, to the terminal.

use std::io::Write;

use base::log::{ErrorLog, Level, Sink};

use crate::application::{Application, LoadError, LoadMode};
use crate::cli::Options;
use crate::guard::guarded;

/// Where the master's messages go.
#[derive(Debug)]
pub(crate) struct Console {
    /// The log in force.
    pub(crate) log: ErrorLog,
    /// Whether someone may still be looking at standard error.
    pub(crate) terminal: bool,
    /// Standard error is one of the logs and stays what it is.
    pub(crate) keep_stderr: bool,
}

impl Console {
    /// Logs, and shows on the terminal what nginx shows there: warnings and graver.
    pub(crate) fn report(&self, level: Level, message: &str) {
        self.log.write(level, 0, message.as_bytes());
        let shown_already = self.log.targets().iter().any(|target| matches!(target.sink, Sink::Stderr) && level <= target.level);
        if self.terminal && level <= Level::Warn && !shown_already {
            print_message(&format!("[{}] {message}", level.name()));
        }
    }

    /// Loads a configuration and reports what it warns of. nginx does that while it reads: before all else, into the log of before, and also when the
    /// configuration is refused in the end.
    pub(crate) fn load<A: Application>(
        &self,
        app: &mut A,
        options: &Options,
        previous: Option<&A::Generation>,
        mode: LoadMode,
    ) -> Result<A::Generation, LoadError> {
        let mut generation = guarded(|| app.load(options, previous, mode))?;
        self.warn(&app.warnings(&mut generation));
        Ok(generation)
    }

    fn warn(&self, warnings: &[(Level, String)]) {
        warnings.iter().for_each(|(level, warning)| self.report(*level, warning));
    }

    /// Reports why a configuration was refused.
    pub(crate) fn refuse(&self, error: &LoadError) {
        self.warn(&error.warnings);
        self.report(error.level, &error.message);
        if let (true, Some(excerpt)) = (self.terminal, &error.excerpt) {
            print(&format!("{}\n", excerpt.trim_end_matches('\n')));
        }
        error.others.iter().for_each(|other| self.refuse(other));
    }

    /// Makes standard error the main log file, so that what libraries print is kept; nothing when the main log is
    /// standard error itself.
    pub(crate) fn redirect_stderr(&self) {
        if self.keep_stderr {
            return;
        }
        let file = self.log.targets().iter().find_map(|target| if let Sink::File(file) = &target.sink { Some(file) } else { None });
        if let Some(file) = file {
            let opened = std::fs::OpenOptions::new().append(true).open(file.path());
            if let Err(error) = opened.and_then(sys::process::redirect_stderr) {
                self.report(Level::Alert, &format!("dup2(STDERR) failed {}", base::errno::describe(&error)));
            }
        }
    }
}

/// Prints `nginx: message` on standard error.
pub(crate) fn print_message(message: &str) {
    print(&format!("nginx: {message}\n"));
}

/// Prints on standard error. Nothing can be done about a closed one.
pub(crate) fn print(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
