//! Sessions that Lua code holds, to resume by.

use crate::host::Host;
use crate::socket::hub::Hub;
use crate::socket::table::Table;
use base::log::Level;
use lua::Cx;
use std::cell::RefCell;
use std::sync::Arc;
use tls::resume::Slot;

/// The sessions of a worker, by the numbers that their Lua objects hold.
#[derive(Default)]
pub struct Sessions(RefCell<Table<Arc<Slot>>>);

impl Sessions {
    /// Keeps a session and answers its number.
    pub fn add(&self, slot: Arc<Slot>) -> u64 {
        self.0.borrow_mut().add(slot)
    }

    /// The session of this number.
    pub fn get(&self, id: u64) -> Option<Arc<Slot>> {
        self.0.borrow().get(id).cloned()
    }
}

/// How logs name a session, as OpenResty names it by its address.
#[must_use]
pub fn shown(slot: &Arc<Slot>) -> String {
    format!("{:X}", Arc::as_ptr(slot) as usize)
}

/// Lets go of the session that no Lua object holds any more; 0: it is not to be had here and now.
pub fn free(cx: &Cx, id: f64) -> i32 {
    let freed = cx.with_host::<Host, _>(|host| {
        let host = host?;
        let hub: &Hub = host.hub.as_ref()?;
        let slot = hub.sessions.0.try_borrow_mut().ok()?.remove(id as u64)?;
        if let Some(log) = host.worker.as_ref().map(|worker| &worker.log).filter(|log| log.enabled(Level::Debug)) {
            log.write(Level::Debug, 0, format!("lua ssl free session: {}", shown(&slot)).as_bytes());
        }
        Some(())
    });
    i32::from(freed.is_some())
}
