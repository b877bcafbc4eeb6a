//! Directories for temporary files, `*_temp_path`: read, and asked for from the master, which makes them before workers
//! start.

use crate::core::TempPath;
use crate::root::MainContext;
use conf::row::Cx;
use conf::scope::Scope;
use conf::tree::Error;
use session::opened::Directories;

/// nginx's bound on the digits and slashes of a path's levels.
const LONGEST_LEVELS: u64 = 10;

/// Reads a directory with up to three levels of subdirectories and asks for it to be made (`ngx_conf_set_path_slot`).
///
/// # Errors
/// A level that is not a small number.
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
    Ok(ask(&cx.frame.global, given.strip_suffix(b"/").unwrap_or(given), levels))
}

/// Asks for the directory of this name, relative to the prefix.
pub fn ask(global: &Scope, name: &[u8], levels: [u8; 3]) -> TempPath {
    let path = global.get::<MainContext>().paths.resolve(name);
    global.get::<Directories>().add(&path);
    TempPath { path, levels }
}
