//! The directives of TLS on cosockets.

pub mod settings;
