//! The request body: limits, buffers, temporary files.

use super::slots::choice;
use crate::build::Ground;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::core::{Core, TempPath};
use http::opened::Directories;

const ALL: Context = Context::HTTP_ALL;

/// nginx's bound on the digits and slashes of a path's levels.
const LONGEST_LEVELS: u64 = 10;

pub(super) fn rows() -> Vec<Row> {
    vec![
        row::offset("client_max_body_size", ALL, "Largest request body; 0 is unlimited.", |core: &mut Core| &mut core.client_max_body_size),
        row::size("client_body_buffer_size", ALL, "How much of a request body is kept in memory.", |core: &mut Core| {
            &mut core.client_body_buffer_size
        }),
        row::time_ms("client_body_timeout", ALL, "Longest pause between two reads of a request body.", |core: &mut Core| {
            &mut core.client_body_timeout
        }),
        row::flag("client_body_in_single_buffer", ALL, "Keeps a request body in one piece.", |core: &mut Core| {
            &mut core.client_body_in_single_buffer
        }),
        choice("client_body_in_file_only", "Writes every request body to a file.", &[("off", 0_u8), ("on", 1), ("clean", 2)], |core| {
            &mut core.client_body_in_file_only
        }),
        Row::new("client_body_temp_path", ALL, Arity::Between(1, 4), "Directory for request bodies in files.", |cx| {
            let path = temp_path(cx)?;
            cx.once(&mut cx.location::<Core>().client_body_temp_path, path)
        }),
    ]
}

/// The directory that serves where no directive names one; it must exist. Runs before locations inherit.
pub(crate) fn complete(http: &Frame) {
    let paths = http.global.get::<Ground>().paths.clone();
    let mut core = http.location.get::<Core>();
    if core.client_body_temp_path.is_none() {
        let path = paths.resolve(b"client_body_temp");
        http.global.get::<Directories>().add(&path);
        core.client_body_temp_path = Some(TempPath { path, levels: [0; 3] });
    }
}

/// Reads a directory with up to three levels of subdirectories and asks for it to be made (`ngx_conf_set_path_slot`).
///
/// # Errors
/// A level that is not a small number.
pub(super) fn temp_path(cx: &Cx<'_>) -> Result<TempPath, Error> {
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
    let name = given.strip_suffix(b"/").unwrap_or(given);
    let path = cx.global::<Ground>().paths.resolve(name);
    cx.global::<Directories>().add(&path);
    Ok(TempPath { path, levels })
}
