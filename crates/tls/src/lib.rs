//! TLS without sockets: sessions over buffers, certificates, who trusts whom, ciphers, tickets and stored sessions.
//!
//! The records and handshakes are rustls', by its unbuffered interface; chains are verified by webpki. What stands here is
//! what nginx's users expect around them: OpenSSL's cipher strings, codes and texts, encrypted keys, X.509 v1 from
//! private authorities, session tickets shared by workers.
//!
//! - A server: [`server::Settings`] from [`ciphers::Offer`] and [`certificate::Pair`]s, then one
//!   [`session::ServerSession`] per connection. It may be made after the ClientHello was seen (`wire::tls::hello`), with
//!   the settings that were chosen by it, and is then fed the same bytes.
//! - A client: [`client::Settings`], from words of directives by [`profile::Profile`], one [`session::ClientSession`] per connection, [`resume::Slot`] to resume by.
//! - [`session::Session::receive`] takes bytes and gives plaintext and records; [`session::Session::seal`] makes records
//!   of several pieces. Both write into [`buffer::Buffers`], one of which serves a whole worker.
//! - [`tickets`] and [`store`] keep a server's sessions, bound to a [`tickets::Context`]; [`names`] says what is in a
//!   certificate; [`ocsp`] asks and verifies whether it was revoked.
//! - A chain never fails a handshake: when it is over, [`session::Session::verdict`] says what was found, as in nginx,
//!   where the response to a bad client certificate is a page. **Who configures verification has to ask.**
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

mod alert;
pub mod buffer;
pub mod certificate;
#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod chooser;
pub mod ciphers;
pub mod client;
pub mod commands;
mod compression;
pub mod engine;
pub mod error;
pub mod exporter;
pub mod files;
pub mod handshake_store;
pub mod key_log;
pub mod names;
pub mod ocsp;
pub mod profile;
pub mod quic;
mod rejected;
pub mod resume;
pub mod server;
pub mod session;
pub mod signatures;
pub mod store;
pub mod tickets;
pub mod verify;

#[cfg(test)]
mod smoke;
