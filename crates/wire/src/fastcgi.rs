//! FastCGI 1.0: a request as records, and the records of a response.

pub mod record;
pub mod request;
pub mod response;
