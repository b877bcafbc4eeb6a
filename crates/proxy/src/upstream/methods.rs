//! The directives that choose how a server is chosen.

use crate::upstream::draft::{Allowed, balance, draft, only};
use balance::{Balancing, Measure};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::module::Module;
use http::{Complex, Variables};

/// `hash`
pub const HASH: Module = Module { rows: hash_rows, ..Module::named("upstream_hash") };
/// `ip_hash`
pub const IP_HASH: Module = Module { rows: ip_hash_rows, ..Module::named("upstream_ip_hash") };
/// `least_conn`
pub const LEAST_CONN: Module = Module { rows: least_conn_rows, ..Module::named("upstream_least_conn") };
/// `least_time`
pub const LEAST_TIME: Module = Module { rows: least_time_rows, ..Module::named("upstream_least_time") };
/// `random`
pub const RANDOM: Module = Module { rows: random_rows, ..Module::named("upstream_random") };

const HERE: Context = Context::UPSTREAM;
/// What the methods support that look at the weights of all servers at each pick.
const ALL: Allowed = Allowed { backup: true, slow_start: true };
/// What the others support.
const FEW: Allowed = Allowed { backup: false, slow_start: false };
const MEASURES: [(&str, Measure); 2] = [("header", Measure::Header), ("last_byte", Measure::LastByte)];

fn hash_rows() -> Vec<Row> {
    vec![Row::new("hash", HERE, Arity::Between(1, 2), "A key's hash chooses the server.", hash)]
}

fn ip_hash_rows() -> Vec<Row> {
    vec![Row::new("ip_hash", HERE, Arity::exactly(0), "A client's network chooses the server.", |cx| only(cx, Balancing::IpHash, FEW))]
}

fn least_conn_rows() -> Vec<Row> {
    vec![Row::new("least_conn", HERE, Arity::exactly(0), "The server with the fewest requests is next.", |cx| {
        only(cx, Balancing::LeastConnections, ALL)
    })]
}

fn least_time_rows() -> Vec<Row> {
    vec![Row::new("least_time", HERE, Arity::Between(1, 2), "The server that is done first is next.", least_time)]
}

fn random_rows() -> Vec<Row> {
    vec![Row::new("random", HERE, Arity::Between(0, 2), "Chance chooses the server, or the better of two.", random)]
}

fn hash(cx: &mut Cx<'_>) -> Result<(), Error> {
    let key = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|e| cx.error_at(0, e))?;
    let balancing = match cx.args().len() {
        1 => Balancing::Hash,
        _ if cx.arg(1) == b"consistent" => Balancing::ConsistentHash,
        _ => return Err(cx.invalid_parameter(1)),
    };
    balance(cx, balancing, FEW);
    draft(cx).key = Some(key);
    Ok(())
}

fn least_time(cx: &mut Cx<'_>) -> Result<(), Error> {
    let waiting = match cx.args().len() {
        1 => false,
        _ if cx.arg(1) == b"inflight" => true,
        _ => return Err(cx.invalid_parameter(1)),
    };
    let measure = cx.choice(0, &MEASURES)?;
    only(cx, Balancing::LeastTime { measure, waiting }, ALL)
}

fn random(cx: &mut Cx<'_>) -> Result<(), Error> {
    let balancing = match cx.args().len() {
        0 => Balancing::Random,
        _ if cx.arg(0) != b"two" => return Err(cx.invalid_parameter(0)),
        1 => Balancing::RandomTwo(None),
        _ => match cx.arg(1) {
            b"least_conn" => Balancing::RandomTwo(None),
            b"least_time=header" => Balancing::RandomTwo(Some(Measure::Header)),
            b"least_time=last_byte" => Balancing::RandomTwo(Some(Measure::LastByte)),
            _ => return Err(cx.invalid_parameter(1)),
        },
    };
    only(cx, balancing, FEW)
}
