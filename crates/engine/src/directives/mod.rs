//! Rows of the core module, by subject, and the table of all rows.

mod access;
pub(crate) mod body;
pub mod error_log;
mod error_page;
mod files;
mod keepalive;
mod noop;
mod output;
mod redirect;
mod root;
mod server;
mod slots;
pub mod threads;
pub mod types;
pub mod unsupported;

use crate::stream as stream_rows;
use crate::{listen, tree};
use conf::row::{Row, Table};
use http::Module;
use std::rc::Rc;

/// Rows of the core HTTP module, apart from the blocks, `listen` and `server_name`.
pub fn rows() -> Vec<Row> {
    let groups = [
        access::rows,
        body::rows,
        error_log::rows,
        error_page::rows,
        files::rows,
        keepalive::rows,
        noop::rows,
        output::rows,
        redirect::rows,
        root::rows,
        server::rows,
        threads::rows,
        types::rows,
    ];
    groups.into_iter().flat_map(|rows| rows()).collect()
}

/// The table of every directive: the engine's own, those of `modules` and of `streams`, and `main`, the rows of the main level. Names of
/// nginx that nobody serves yet are known to it.
pub fn table(modules: &Rc<[Module]>, streams: &Rc<[stream::Module]>, main: Vec<Row>) -> Table {
    let mut table = Table::default();
    let own = main.into_iter().chain(tree::rows(modules)).chain(listen::rows()).chain(rows()).chain(stream_rows::rows(streams));
    let modules = modules.iter().flat_map(|module| (module.rows)()).chain(streams.iter().flat_map(|module| (module.rows)()));
    for row in own.chain(modules) {
        table.add(row);
    }
    table.set_missing(unsupported::names(), unsupported::PAGE);
    table
}

#[cfg(test)]
mod tests;
