//! A configuration's errors and warnings as messages.

use base::log::Level;
use conf::diagnostic;
use conf::tree::{Error, Files};
use daemon::LoadError;

/// An error for the log and, with its source line, for the terminal.
pub(crate) fn refusal(error: &Error, files: &Files) -> LoadError {
    let excerpt = diagnostic::excerpt(error, files);
    LoadError { level: Level::Emerg, message: diagnostic::log_line(error, files), excerpt: (!excerpt.is_empty()).then_some(excerpt) }
}

/// Warnings as lines for the log.
pub(crate) fn warnings(list: &[Error], files: &Files) -> Vec<String> {
    list.iter().map(|warning| diagnostic::log_line(warning, files)).collect()
}
