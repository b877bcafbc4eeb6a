//! `geo`: a variable whose value depends on the client's address (nginx manual, `ngx_http_geo_module`).

mod table;

use crate::block;
use crate::cidr::{Cidr, forwarded, numeric, parse_address};
use conf::context::Arity;
use conf::row::{Cx, Row, Warnings};
use conf::tree::{Directive, Error};
use http::{Module, Request};
use session::variable::{self, NO_CACHE, VarIndex};
use session::{Address, Configured, Variables};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use table::{Networks, Ranges};

/// `geo`.
pub const MODULE: Module = Module { rows: rows::<Request>, ..Module::named("geo") };

/// `geo` of streams.
pub const STREAM: stream::Module = stream::Module { rows: rows::<stream::Session>, ..stream::Module::named("geo") };

fn rows<S: Configured>() -> Vec<Row> {
    vec![Row::new("geo", S::OUTERMOST, Arity::Between(1, 2), "A variable that depends on the client's address.", geo::<S>).with_block()]
}

type Value = Rc<[u8]>;

#[derive(Default)]
struct Geo {
    source: Option<VarIndex>,
    proxies: Vec<Cidr>,
    recursive: bool,
    volatile: bool,
    by_ranges: bool,
    ranges: Ranges<Value>,
    networks: Networks<Value>,
    default: Option<Value>,
}

fn geo<S: Configured>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut geo = Geo::default();
    let mut name = block::variable_name(cx, 0)?;
    if cx.args().len() == 2 {
        geo.source = Some(cx.global::<Variables<S>>().index(&name));
        name = block::variable_name(cx, 1)?;
    }
    for directive in block::entries(cx)? {
        geo.add::<S>(cx, directive)?;
    }
    let flags = if geo.volatile { NO_CACHE } else { 0 };
    block::define(cx, &name, flags, Rc::new(move |session: &S, out| geo.get(session, out)))
}

impl Geo {
    fn add<S: Configured>(&mut self, cx: &Cx<'_>, directive: &Directive) -> Result<(), Error> {
        let words = block::words(directive);
        match *words {
            [b"ranges"] if !self.networks.is_empty() || (self.default.is_some() && !self.by_ranges) => {
                Err(block::error(directive, "the \"ranges\" directive must be the first directive inside \"geo\" block"))
            }
            [b"ranges"] => {
                self.by_ranges = true;
                Ok(())
            }
            [b"proxy_recursive"] if S::FORWARDS => {
                self.recursive = true;
                Ok(())
            }
            [b"volatile"] => {
                self.volatile = true;
                Ok(())
            }
            [b"proxy", network] if S::FORWARDS => {
                self.proxies.push(network_of(cx, directive, network)?);
                Ok(())
            }
            [b"default", value] => {
                if let Some(old) = self.default.replace(value.into()) {
                    let (value, old) = (String::from_utf8_lossy(value), String::from_utf8_lossy(&old));
                    let what = if self.by_ranges { "default geo range" } else { "network \"default\"," };
                    warn(cx, directive, format!("duplicate {what} value: \"{value}\", old value: \"{old}\""));
                }
                Ok(())
            }
            [first, second] if self.by_ranges => self.add_range(cx, directive, first, second),
            [b"delete", network] => {
                if self.networks.remove(network_of(cx, directive, network)?).is_none() {
                    warn(cx, directive, format!("no network \"{}\" to delete", String::from_utf8_lossy(network)));
                }
                Ok(())
            }
            [network, value] => {
                let old = self.networks.insert(network_of(cx, directive, network)?, value.into());
                warn_of_duplicate(cx, directive, "network", old.as_deref());
                Ok(())
            }
            _ => Err(block::error(directive, "invalid number of the geo parameters")),
        }
    }

    fn add_range(&mut self, cx: &Cx<'_>, directive: &Directive, first: &[u8], second: &[u8]) -> Result<(), Error> {
        let text = if first == b"delete" { second } else { first };
        let shown = String::from_utf8_lossy(text);
        let (start, end) = parse_range(text).ok_or_else(|| block::error(directive, format!("invalid range \"{shown}\"")))?;
        if first == b"delete" {
            if !self.ranges.remove(start, end) {
                warn(cx, directive, format!("no address range \"{shown}\" to delete"));
            }
            return Ok(());
        }
        warn_of_duplicate(cx, directive, "range", self.ranges.same(start, end).map(|old| &**old));
        self.ranges.insert(start, end, &second.into()).map_err(|(low, high)| {
            let (low, high) = (crate::cidr::show_v4(low), crate::cidr::show_v4(high));
            block::error(directive, format!("range \"{shown}\" overlaps \"{low}-{high}\""))
        })
    }

    fn get<S: Configured>(&self, session: &S, out: &mut Vec<u8>) -> bool {
        // What has no address is looked up as 255.255.255.255, as in nginx.
        let ip = self.address(session).and_then(|address| numeric(&address)).unwrap_or(IpAddr::V4(Ipv4Addr::BROADCAST));
        let found = match ip {
            IpAddr::V4(v4) if self.by_ranges => self.ranges.find(v4.to_bits()),
            IpAddr::V6(_) if self.by_ranges => self.ranges.find(u32::MAX),
            ip => self.networks.find(ip),
        };
        if let Some(value) = found.or(self.default.as_ref()) {
            out.extend_from_slice(value);
        }
        true
    }

    fn address<S: Configured>(&self, session: &S) -> Option<Address> {
        let direct = match self.source {
            Some(index) => {
                let mut text = Vec::new();
                variable::get_flushed(session, index, &mut text);
                parse_address(&text)?
            }
            None => session.client().clone(),
        };
        if self.proxies.is_empty() {
            return Some(direct);
        }
        let behind = forwarded(&direct, &session.forwarded_for(), &self.proxies, self.recursive);
        Some(behind.unwrap_or(direct))
    }
}

fn warn(cx: &Cx<'_>, directive: &Directive, message: String) {
    cx.global::<Warnings>().list.push(block::error(directive, message));
}

/// What is said twice has the later value. `directive` is the second one.
fn warn_of_duplicate(cx: &Cx<'_>, directive: &Directive, what: &str, old: Option<&[u8]>) {
    if let (Some(old), &[name, value]) = (old, &*block::words(directive)) {
        let [name, value, old] = [name, value, old].map(String::from_utf8_lossy);
        warn(cx, directive, format!("duplicate {what} \"{name}\", value: \"{value}\", old value: \"{old}\""));
    }
}

fn network_of(cx: &Cx<'_>, directive: &Directive, text: &[u8]) -> Result<Cidr, Error> {
    Cidr::read(text, |warning| warn(cx, directive, warning))
        .ok_or_else(|| block::error(directive, format!("invalid network \"{}\"", String::from_utf8_lossy(text))))
}

/// `1.2.3.4-1.2.3.9`, both ends included.
fn parse_range(text: &[u8]) -> Option<(u32, u32)> {
    let (low, high) = std::str::from_utf8(text).ok()?.split_once('-')?;
    let (low, high) = (low.parse::<Ipv4Addr>().ok()?.to_bits(), high.parse::<Ipv4Addr>().ok()?.to_bits());
    (low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare_tests::{Bare, Setup};

    #[test]
    fn addresses_and_their_values() {
        let blocks = [
            "geo $v { default d; 10.0.0.0/8 ten; 10.1.0.0/16 inner; delete 10.2.0.0/16; 2001:db8::/32 six; 127.0.0.1 home; }",
            "geo $addr $v { ranges; default d; 10.0.0.0-10.0.255.255 ten; 10.1.0.0-10.1.0.9 inner; 127.0.0.1-127.0.0.1 home; }",
        ];
        let table = [
            ("10.0.0.1", ["ten", "ten"]),
            ("10.1.0.9", ["inner", "inner"]),
            ("10.1.0.10", ["inner", "d"]),
            ("127.0.0.1", ["home", "home"]),
            ("192.0.2.1", ["d", "d"]),
            ("2001:db8::1", ["six", "d"]),
            ("unix:", ["d", "d"]),
        ];
        for (at, block) in blocks.iter().enumerate() {
            let setup = Setup::read(block, rows::<Bare>(), |_| {}).unwrap();
            for (client, expected) in table {
                assert_eq!(setup.client(client, None).variable("v").as_deref(), Some(expected[at]), "{block} for {client}");
            }
        }
    }

    #[test]
    fn what_is_refused() {
        let refuse = |text: &str| Setup::read(text, rows::<Bare>(), |_| {}).err().unwrap_or_default();
        let table = [
            ("geo v { }", "invalid variable name \"v\""),
            ("geo $v { a b c; }", "invalid number of the geo parameters"),
            ("geo $v { 1.2.3.4-1.2.3.5 x; }", "invalid network \"1.2.3.4-1.2.3.5\""),
            ("geo $v { ranges; 1.2.3.9-1.2.3.5 x; }", "invalid range \"1.2.3.9-1.2.3.5\""),
            ("geo $v { 1.2.3.4 x; ranges; }", "the \"ranges\" directive must be the first directive inside \"geo\" block"),
            // Without a header field that names the client there are no proxies.
            ("geo $v { proxy 127.0.0.1; }", "invalid network \"proxy\""),
            ("geo $addr { }", "the duplicate \"addr\" variable"),
        ];
        for (text, expected) in table {
            assert_eq!(refuse(text), expected, "{text}");
        }
    }
}
