//! What a subrequest shall be, and how a request becomes one.

use super::Request;
use crate::Cache;
use crate::body::Body;
use crate::connection::Transport;
use crate::method::Method;
use std::rc::Rc;

/// How a subrequest's variables relate to its parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubrequestVariables {
    /// The same array.
    Shared,
    /// A copy.
    Copied,
    /// None known.
    Fresh,
}

/// The body of a subrequest.
pub enum SubrequestBody {
    /// None.
    Nothing,
    /// The parent's, shared.
    Parents,
    /// One of its own.
    Own(Body),
}

/// What a subrequest shall be.
pub struct Subrequest<'a> {
    /// Path, normalised.
    pub uri: &'a [u8],
    /// Query string.
    pub args: &'a [u8],
    /// Method with its name; `None` is GET.
    pub method: Option<(Method, &'a [u8])>,
    /// Where the response goes.
    pub wire: Transport,
    /// Its body.
    pub body: SubrequestBody,
    /// Its variables.
    pub variables: SubrequestVariables,
}

impl Request {
    /// Creates a subrequest of `parent`, with the connection and the configuration of its parent.
    pub fn child(parent: &Rc<Request>, what: Subrequest<'_>) -> Request {
        let cache = Rc::new(Cache::new(parent.cache.table()));
        let mut child = Request::assemble(
            parent.worker.clone(),
            parent.http.clone(),
            parent.connection.clone(),
            what.wire.clone(),
            parent.server(),
            cache,
        );
        child.init_subrequest(parent, what);
        child
    }

    /// Makes a vacated request a subrequest of `parent`.
    pub(crate) fn init_subrequest(&mut self, parent: &Rc<Request>, what: Subrequest<'_>) {
        match what.variables {
            SubrequestVariables::Shared => self.cache = parent.cache.clone(),
            SubrequestVariables::Copied => self.cache.copy_from(&parent.cache),
            SubrequestVariables::Fresh => {}
        }
        self.assign(parent.connection.clone(), what.wire, parent.server());
        self.client.get_mut().clone_from(&parent.client.borrow());
        self.number.set(parent.number.get());
        self.parent = Some(parent.clone());
        self.depth = parent.depth.saturating_add(1);
        match what.body {
            SubrequestBody::Nothing => {}
            SubrequestBody::Parents => self.body.get_mut().clone_from(&parent.body.borrow()),
            SubrequestBody::Own(body) => *self.body.get_mut() = Rc::new(body),
        }
        self.headers.get_mut().copy_from(&parent.headers.borrow());
        let method = what.method.unwrap_or((Method::GET, b"GET"));
        self.line.get_mut().derive(&parent.line.borrow(), what.uri, what.args, method);
        self.flags.internal.set(true);
        // nginx's word for what goes on is the connection's: a request that begins clears it for those around it.
        let mut outer = Some(parent);
        while let Some(request) = outer {
            request.action.set("");
            outer = request.parent.as_ref();
        }
    }
}
