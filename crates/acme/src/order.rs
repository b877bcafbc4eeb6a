//! What `acme_certificate` asks for, and the certificate that there is for it.

use crate::identifier::Identifier;
use crate::key::KeyKind;
use aws_lc_rs::digest::{SHA256, digest};
use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

/// A certificate for these identifiers with a key of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) identifiers: Vec<Identifier>,
    pub(crate) key: KeyKind,
}

impl Request {
    /// A name for logs and files that is the same at each start: the first name and a number of all.
    pub(crate) fn id(&self) -> String {
        let mut text = self.key.name().to_owned();
        self.identifiers.iter().for_each(|identifier| {
            let _ = write!(text, "\n{identifier}");
        });
        let hash = digest(&SHA256, text.as_bytes());
        let number = hash.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{}-{number:x}", self.first_name())
    }

    /// The first name, or the first address if there is no name.
    pub(crate) fn first_name(&self) -> String {
        let name = self.identifiers.iter().find(|identifier| matches!(identifier, Identifier::Dns(_)));
        name.or_else(|| self.identifiers.first()).map(ToString::to_string).unwrap_or_default()
    }
}

/// A certificate with its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// A certificate that is wanted, in one worker.
pub(crate) struct Order {
    pub(crate) request: Request,
    /// [`Request::id`]
    pub(crate) id: String,
    /// What `$acme_certificate` gave last, so that `$acme_certificate_key` fits to it.
    pub(crate) current: RefCell<Option<Rc<Issued>>>,
}

impl Order {
    pub(crate) fn new(request: Request) -> Order {
        Order { id: request.id(), request, current: RefCell::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::read;

    #[test]
    fn ids() {
        let request = |names: &[&str], key| {
            let identifiers = names.iter().flat_map(|name| read(name.as_bytes()).unwrap()).collect();
            Request { identifiers, key }
        };
        let one = request(&["192.0.2.1", "a.test"], KeyKind::P256);
        assert_eq!(one.id(), "a.test-9e2ee09724e8e4bf");
        assert_ne!(one.id(), request(&["a.test"], KeyKind::P256).id());
        assert_ne!(one.id(), request(&["192.0.2.1", "a.test"], KeyKind::P384).id());
        assert_eq!(request(&["192.0.2.1"], KeyKind::P256).first_name(), "192.0.2.1");
    }
}
