//! Variables of sessions of `stream` (nginx manual, `ngx_stream_core_module`, "Embedded Variables").

use super::{connection, define_variable, put, put_seconds, time};
use base::text::push_number;
use session::variable::NO_CACHE;
use stream::Variables;

pub(super) fn define(variables: &mut Variables) {
    connection::define_client(variables);
    time::define(variables);
    define_variable(variables, "server_name", 0, |session, out| put(out, &session.server().name));
    define_variable(variables, "bytes_sent", 0, |session, out| {
        push_number(out, session.sent.get());
        true
    });
    define_variable(variables, "bytes_received", 0, |session, out| {
        push_number(out, session.received.get());
        true
    });
    define_variable(variables, "session_time", NO_CACHE, |session, out| put_seconds(out, session.elapsed_ms()));
    define_variable(variables, "status", NO_CACHE, |session, out| {
        let status = session.status.get();
        // Three digits, as long as there is none.
        put(out, format!("{status:03}").as_bytes())
    });
    define_variable(variables, "protocol", 0, |session, out| put(out, session.protocol().as_bytes()));
}
