//! Directories for temporary files, `*_temp_path`: parsed here and created by the master before workers start.

use crate::core::TempPath;
use crate::root::MainContext;
use conf::row::Cx;
use conf::scope::Scope;
use conf::tree::{Error, Span};
use session::directories::{Directories, Layout};

/// nginx's bound on the digits and slashes of a path's levels.
const LONGEST_LEVELS: u64 = 10;

/// Reads a directory with up to three levels of subdirectories and asks for it to be made (`ngx_conf_set_path_slot`).
///
/// # Errors
/// A level that is not a small number, and a directory that is used otherwise already.
pub fn read(cx: &Cx<'_>) -> Result<TempPath, Error> {
    let mut levels = [0_u8; 3];
    let mut length = 0;
    for (i, level) in levels.iter_mut().enumerate().take(cx.args().len().saturating_sub(1)) {
        let characters = base::text::parse_number(cx.arg(i + 1)).filter(|n| (1..=LONGEST_LEVELS).contains(n));
        let characters = characters.ok_or_else(|| cx.invalid_value(i + 1))?;
        *level = u8::try_from(characters).map_err(|_| cx.invalid_value(i + 1))?;
        length += characters;
    }
    if length > LONGEST_LEVELS {
        return Err(cx.invalid_value(1));
    }
    let given = cx.arg(0);
    let path = cx.global::<MainContext>().paths.resolve(given.strip_suffix(b"/").unwrap_or(given));
    let place = cx.place();
    cx.global::<Directories>().claim(&path, Layout::Temporary(levels), Some(place)).map_err(|text| cx.error(text))?;
    Ok(TempPath { path, levels })
}

/// The directory that serves where no directive names one, relative to the prefix.
///
/// # Errors
/// A directive uses it for something else.
pub fn by_default(given: &mut Option<TempPath>, global: &Scope, name: &[u8], levels: [u8; 3]) -> Result<(), Error> {
    if given.is_none() {
        let path = global.get::<MainContext>().paths.resolve(name);
        let claimed = global.get::<Directories>().claim(&path, Layout::Temporary(levels), None);
        claimed.map_err(|text| Error::new(text, Span::NONE))?;
        *given = Some(TempPath { path, levels });
    }
    Ok(())
}
