//! What of cosockets is bound to HTTP: `ngx.req.socket`.

pub mod client;
