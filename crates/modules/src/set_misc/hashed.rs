//! `upstream_list` and `set_hashed_upstream`: one name of a list, chosen by the hash of a key.

use super::{fail, target};
use crate::compile::complex;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::program::{Flow, Program};
use session::variable;
use std::collections::HashMap;

/// The lists of `http { }` by name.
#[derive(Default)]
pub(super) struct UpstreamLists(HashMap<Box<[u8]>, Vec<Box<[u8]>>>);

impl Config for UpstreamLists {
    fn inherit(&mut self, _: &Self) {}
}

pub(super) fn rows(at: Context) -> Vec<Row> {
    vec![
        Row::new("upstream_list", Context::HTTP, Arity::AtLeast(2), "A named list of upstream groups.", list),
        Row::new("set_hashed_upstream", at, Arity::exactly(3), "Assigns a name of a list, chosen by the hash of a key.", hashed),
    ]
}

fn list(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.arg(0);
    let names = (1..cx.args().len()).map(|i| cx.arg(i).into()).collect();
    match cx.main::<UpstreamLists>().0.insert(name.into(), names) {
        None => Ok(()),
        Some(_) => Err(cx.error_at(0, format!("duplicate upstream list \"{}\"", cx.text(0)))),
    }
}

/// `set_hashed_upstream $variable LIST KEY`; the list's name may have variables.
fn hashed(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (target, name, key) = (target(cx)?, complex(cx, 1)?, complex(cx, 2)?);
    if name.literal().is_some_and(|name| !cx.main::<UpstreamLists>().0.contains_key(name)) {
        return Err(cx.error_at(1, unknown(cx.arg(1))));
    }
    cx.location::<Program>().push(move |request, _| {
        let name = name.to_vec(&**request);
        let Some(list) = request.http.main.get::<UpstreamLists>().and_then(|lists| lists.0.get(&*name)) else {
            return fail(request, &unknown(&name).into());
        };
        let chosen = bucket(&key.to_vec(&**request), list.len()).and_then(|at| list.get(at));
        variable::assign(&**request, target, chosen.map_or(&[], |name| name));
        Flow::Next
    });
    Ok(())
}

fn unknown(name: &[u8]) -> String {
    format!("set_hashed_upstream: upstream list \"{}\" not defined yet", String::from_utf8_lossy(name))
}

/// The place among `count` names: nginx's hash of the key in small letters, its lower 32 bits.
fn bucket(key: &[u8], count: usize) -> Option<usize> {
    let hash = key.iter().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte.to_ascii_lowercase())));
    usize::try_from(hash).ok()?.checked_rem(count)
}

#[cfg(test)]
mod tests {
    #[test]
    fn places() {
        let place = |key: &str, count| super::bucket(key.as_bytes(), count);
        assert_eq!((place("", 3), place("a", 3), place("b", 3), place("B", 3)), (Some(0), Some(1), Some(2), Some(2)));
        assert_eq!((place("ab", 1000), place("a", 0)), (Some(105), None));
    }
}
