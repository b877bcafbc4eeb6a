//! `$upstream_*` of sessions.

use crate::record::{Attempt, Record};
use session::variable::NO_CACHE;
use std::io::Write;
use stream::variables::define;
use stream::{Session, Variables};

/// Defines them.
pub fn define_all(variables: &mut Variables) {
    define(variables, "upstream_addr", NO_CACHE, |session, out| {
        join_tries(session, out, |one, out| out.extend_from_slice(one.peer.as_deref().unwrap_or_default().as_bytes()))
    });
    define(variables, "upstream_bytes_sent", NO_CACHE, |session, out| join_tries(session, out, |one, out| push_number(one.sent, out)));
    define(variables, "upstream_bytes_received", NO_CACHE, |session, out| {
        join_tries(session, out, |one, out| push_number(one.received, out))
    });
    define(variables, "upstream_connect_time", NO_CACHE, |session, out| join_tries(session, out, |one, out| push_time(one.connect, out)));
    define(variables, "upstream_first_byte_time", NO_CACHE, |session, out| {
        join_tries(session, out, |one, out| push_time(one.first_byte, out))
    });
    define(variables, "upstream_session_time", NO_CACHE, |session, out| {
        join_tries(session, out, |one, out| push_time(one.session_ms, out))
    });
}

fn join_tries(session: &Session, out: &mut Vec<u8>, one: fn(&Attempt, &mut Vec<u8>)) -> bool {
    session.find_context::<Record>().is_some_and(|record| record.write(out, one))
}

fn push_number(number: u64, out: &mut Vec<u8>) {
    base::text::push_number(out, number);
}

fn push_time(ms: Option<u64>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match ms {
        Some(ms) => write!(out, "{}.{:03}", ms / 1000, ms % 1000),
        None => write!(out, "-"),
    };
}
