//! Why a request to an ACME server fails, in the words that nginx's module logs.

use crate::resource::Problem;
use std::fmt;
use std::time::Duration;

/// Why an account or a certificate cannot be had.
#[derive(Debug)]
pub(crate) enum AcmeError {
    /// The server cannot be reached, or breaks off.
    Transport(String),
    /// A status without an explanation.
    Status(u16),
    /// What the server says is wrong.
    Problem(Problem),
    /// So long the server wants to hear nothing.
    RateLimited(Duration),
    /// The response is not what it should be.
    Format(serde_json::Error),
    /// There is no nonce.
    Nonce,
    /// A redirection that leads nowhere.
    Redirect(&'static str),
    /// The directory cannot be had.
    Directory(Box<AcmeError>),
    /// A step of the protocol that does not come out as it should.
    Unexpected(String),
    /// The server wants a binding to an external account.
    ExternalAccount,
}

impl AcmeError {
    /// Trying again with the same configuration is useless.
    pub(crate) fn is_final_for_account(&self) -> bool {
        match self {
            AcmeError::ExternalAccount => true,
            AcmeError::Problem(problem) => problem.is_about_account(),
            _ => false,
        }
    }

    /// The same for an order.
    pub(crate) fn is_final_for_order(&self) -> bool {
        matches!(self, AcmeError::Problem(problem) if problem.is_about_order())
    }
}

impl From<serde_json::Error> for AcmeError {
    fn from(error: serde_json::Error) -> Self {
        AcmeError::Format(error)
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcmeError::Transport(text) | AcmeError::Unexpected(text) => f.write_str(text),
            AcmeError::Status(status) => write!(f, "unexpected status code {status} in response"),
            AcmeError::Problem(problem) => problem.fmt(f),
            AcmeError::RateLimited(pause) => write!(f, "rate limit exceeded, next attempt in {pause:?}"),
            AcmeError::Format(error) => write!(f, "cannot deserialize response ({error})"),
            AcmeError::Nonce => f.write_str("cannot obtain replay nonce"),
            AcmeError::Redirect(text) => write!(f, "redirect failed: {text}"),
            AcmeError::Directory(error) => write!(f, "directory update failed ({error})"),
            AcmeError::ExternalAccount => f.write_str("external account key required"),
        }
    }
}

impl std::error::Error for AcmeError {}
