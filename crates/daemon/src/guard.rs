//! Catches panics while a configuration is read, so that they do not end a server that runs with another one.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::application::LoadError;

thread_local!(static PLACE: RefCell<Option<String>> = const { RefCell::new(None) });

/// Does what makes a new configuration ready; a panic is an error like any other, in one line. What it left half-made
/// belongs to the new configuration and is dropped with it.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    let usual = std::panic::take_hook();
    // The usual hook would write lines of its own to standard error, which may be the log.
    std::panic::set_hook(Box::new(|info| PLACE.set(info.location().map(ToString::to_string))));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(usual);
    result.unwrap_or_else(|panic| {
        let place = PLACE.take().map(|place| format!(" at {place}")).unwrap_or_default();
        Err(LoadError::new(format!("the configuration cannot be used, reading it failed unexpectedly{place}: {}", text(panic.as_ref()))))
    })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let given = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    given.unwrap_or_default().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line() {
        let error = guarded(|| -> Result<(), LoadError> { panic!("min > max\nmin = {}", 3) }).unwrap_err();
        assert!(error.message.ends_with(": min > max min = 3") && error.message.contains("guard.rs:"), "{}", error.message);
        assert_eq!(guarded(|| Ok(7)), Ok(7));
    }
}
