//! Stored sessions of a server, in any byte store of the caller: a shared zone, or memory.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::server::StoresServerSessions;

use crate::tickets::Context;

/// The form of what is kept, by name and value. Another number goes with each change of either: of [`Sessions::key`], of contexts, of how
/// rustls encodes sessions.
pub const FORMAT: u32 = 1;

/// The name of a stored session.
pub type SessionKey = [u8; 32];

/// Keeps bytes for a while. What is stored holds secrets; what is read is checked only for its form, so no one else may
/// write.
pub trait Bytes: Send + Sync {
    /// Keeps a session, which replaces one of the same name. `id` is what the client shows (`$ssl_session_id`).
    /// False when it was not kept.
    fn put(&self, key: &SessionKey, id: &[u8], value: &[u8]) -> bool;
    /// Finds a session that is not too old.
    fn get(&self, key: &SessionKey, id: &[u8]) -> Option<Vec<u8>>;
    /// Removes a session; only one caller gets `true`.
    fn take(&self, key: &SessionKey, id: &[u8]) -> Option<Vec<u8>>;
}

/// Sessions of one context in a store that may hold those of others.
pub struct Sessions {
    bytes: Arc<dyn Bytes>,
    context: Context,
}

impl Sessions {
    /// Keeps the sessions of `context` in `bytes`.
    #[must_use]
    pub fn new(bytes: Arc<dyn Bytes>, context: Context) -> Arc<Self> {
        Arc::new(Self { bytes, context })
    }

    /// The name under which a session is stored: it cannot be found from another context, whatever the identifier.
    #[must_use]
    pub fn key(&self, id: &[u8]) -> SessionKey {
        let name = [self.context.bytes(), id].concat();
        digest(&SHA256, &name).as_ref().try_into().unwrap_or_default()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("context", &self.context).finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, value: Vec<u8>) -> bool {
        self.bytes.put(&self.key(&id), &id, &value)
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.bytes.get(&self.key(id), id)
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.bytes.take(&self.key(id), id)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
