//! `zone` in `upstream`: a group's peers in shared memory.

use crate::builder::{ZoneName, builder};
use crate::protocol::Protocol;
use crate::state;
use balance::SharedPeers;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::Error;
use shm::{ClaimError, Zones};
use std::rc::Rc;

/// All zones that groups name.
#[derive(Default)]
struct Names(Vec<Rc<ZoneName>>);

/// The directive.
#[must_use]
pub fn rows<P: Protocol>() -> Vec<Row> {
    vec![
        Row::new("zone", P::INSIDE, Arity::Between(1, 2), "A zone for what workers know of the group.", zone::<P>),
        Row::new("state", P::INSIDE, Arity::exactly(1), "A file that keeps the group's servers.", state::read::<P>),
    ]
}

fn zone<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.text(0).into_owned();
    if name.is_empty() {
        return Err(cx.error_at(0, "invalid zone name \"\""));
    }
    let place = find(&mut cx.main::<Names>(), &name);
    if cx.args().len() == 2 {
        let size = base::text::parse_size(cx.arg(1), false).and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| cx.error_at(1, format!("invalid zone size \"{}\"", cx.text(1))))?;
        declare::<P>(cx, &place, size)?;
    }
    builder::<P>(cx).zone = Some(place);
    Ok(())
}

fn find(names: &mut Names, name: &str) -> Rc<ZoneName> {
    if let Some(known) = names.0.iter().find(|zone| zone.name == name) {
        return known.clone();
    }
    let made = Rc::new(ZoneName { name: name.to_owned(), peers: Default::default(), previous: Default::default() });
    names.0.push(made.clone());
    made
}

/// Maps the zone. It is a new one in each configuration: servers, and with them the meaning of places, change. What names stood
/// for is taken over later.
fn declare<P: Protocol>(cx: &Cx<'_>, place: &ZoneName, size: usize) -> Result<(), Error> {
    let mut zones = cx.global::<Zones>();
    let zone = match zones.claim_fresh(&place.name, P::OWNER, size) {
        Ok(zone) => zone,
        Err(ClaimError::Bound(_)) => return Ok(()),
        Err(error) => return Err(cx.error(error.to_string())),
    };
    if let Some(previous) = zones.previous(&place.name, P::OWNER) {
        // A zone is declared once.
        let _ = place.previous.set(SharedPeers::new(previous.clone()));
    }
    // The same.
    let _ = place.peers.set(Rc::new(SharedPeers::new(zone)));
    Ok(())
}
