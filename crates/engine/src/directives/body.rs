//! The request body: limits, buffers, temporary files.

use super::slots::choice;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Frame;
use conf::tree::Error;
use http::core::Core;
use http::temp_path;

const ALL: Context = Context::HTTP_ALL;

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
            let path = temp_path::read(cx)?;
            cx.once(&mut cx.location::<Core>().client_body_temp_path, path)
        }),
    ]
}

/// The directory that serves where no directive names one. Runs before locations inherit.
///
/// # Errors
/// A directive uses it for something else.
pub(crate) fn complete(http: &Frame) -> Result<(), Error> {
    temp_path::by_default(&mut http.location.get::<Core>().client_body_temp_path, &http.global, b"client_body_temp", [0; 3])
}
