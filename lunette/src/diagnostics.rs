//! A configuration's errors and warnings as messages.

use base::log::Level;
use conf::diagnostic;
use conf::tree::{Error, Files};
use daemon::{LoadError, SourcePosition};

/// An error for the log and, with its source line, for the terminal.
pub(crate) fn refusal(error: &Error, files: &Files) -> LoadError {
    let excerpt = diagnostic::excerpt(error, files);
    let excerpt = (!excerpt.is_empty()).then(|| excerpt.into());
    LoadError { excerpt, position: position(error, files), ..LoadError::new(diagnostic::log_line(error, files)) }
}

/// Where an error is, if it is in a file.
pub(crate) fn position(error: &Error, files: &Files) -> Option<SourcePosition> {
    let file = files.get(error.span.file).filter(|file| !file.command_line)?;
    Some(SourcePosition { file: String::from_utf8_lossy(&file.name).into_owned(), line: error.span.line, column: error.span.column })
}

/// All errors as one, in their order; `None` if there are none. What this server lacks needs no source line: its name is in
/// the message.
pub(crate) fn refusals(errors: &[Error], files: &Files) -> Option<LoadError> {
    let shown = |error: &Error| match error.unsupported {
        true => LoadError { position: position(error, files), ..LoadError::new(diagnostic::log_line(error, files)) },
        false => refusal(error, files),
    };
    let (first, others) = errors.split_first()?;
    Some(LoadError { others: others.iter().map(shown).collect(), ..shown(first) })
}

/// Warnings as lines for the log.
pub(crate) fn warnings(list: &[Error], files: &Files) -> Vec<(Level, String)> {
    let level = |warning: &Error| if warning.alert { Level::Alert } else { Level::Warn };
    list.iter().map(|warning| (level(warning), diagnostic::log_line(warning, files))).collect()
}
