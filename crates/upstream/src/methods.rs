//! The directives that select a load-balancing method.

use crate::builder::{MethodLimits, balance, builder, check_method_only};
use crate::protocol::Protocol;
use balance::Balancing;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::Error;
use session::{Complex, Variables};

/// What the methods support that look at the weights of all servers at each pick.
const ALL: MethodLimits = MethodLimits { backup: true, slow_start: true };
/// What the others support.
const FEW: MethodLimits = MethodLimits { backup: false, slow_start: false };

/// `hash`
#[must_use]
pub fn hash_rows<P: Protocol>() -> Vec<Row> {
    vec![Row::new("hash", P::INSIDE, Arity::Between(1, 2), "A key's hash chooses the server.", hash::<P>)]
}

/// `ip_hash`
#[must_use]
pub fn ip_hash_rows<P: Protocol>() -> Vec<Row> {
    vec![Row::new("ip_hash", P::INSIDE, Arity::exactly(0), "A client's network chooses the server.", |cx| {
        check_method_only::<P>(cx, Balancing::IpHash, FEW)
    })]
}

/// `least_conn`
#[must_use]
pub fn least_conn_rows<P: Protocol>() -> Vec<Row> {
    vec![Row::new("least_conn", P::INSIDE, Arity::exactly(0), "The server with the fewest requests is next.", |cx| {
        check_method_only::<P>(cx, Balancing::LeastConnections, ALL)
    })]
}

/// `least_time`
#[must_use]
pub fn least_time_rows<P: Protocol>() -> Vec<Row> {
    vec![Row::new("least_time", P::INSIDE, Arity::Between(1, 2), "The server that is done first is next.", least_time::<P>)]
}

/// `random`
#[must_use]
pub fn random_rows<P: Protocol>() -> Vec<Row> {
    vec![Row::new("random", P::INSIDE, Arity::Between(0, 2), "Chance chooses the server, or the better of two.", random::<P>)]
}

fn hash<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let key = Complex::compile(cx.arg(0), &mut cx.global::<Variables<P::Session>>()).map_err(|e| cx.error_at(0, e))?;
    let balancing = match cx.args().len() {
        1 => Balancing::Hash,
        _ if cx.arg(1) == b"consistent" => Balancing::ConsistentHash,
        _ => return Err(cx.invalid_parameter(1)),
    };
    balance::<P>(cx, balancing, FEW);
    builder::<P>(cx).key = Some(key);
    Ok(())
}

fn least_time<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let waiting = match cx.args().len() {
        1 => false,
        _ if cx.arg(1) == b"inflight" => true,
        _ => return Err(cx.invalid_parameter(1)),
    };
    let measure = cx.choice(0, P::MEASURES)?;
    check_method_only::<P>(cx, Balancing::LeastTime { measure, waiting }, ALL)
}

fn random<P: Protocol>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let balancing = match cx.args().len() {
        0 => Balancing::Random,
        _ if cx.arg(0) != b"two" => return Err(cx.invalid_parameter(0)),
        1 => Balancing::RandomTwo(None),
        _ => {
            let known = P::BETTER.iter().find(|(word, _)| word.as_bytes() == cx.arg(1));
            Balancing::RandomTwo(known.ok_or_else(|| cx.invalid_parameter(1))?.1)
        }
    };
    check_method_only::<P>(cx, balancing, FEW)
}
