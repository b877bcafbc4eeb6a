//! `$tcpinfo_…`: the kernel's data about the client's connection.

use super::root;
use http::Variables;

use base::text::push_number;
use http::Request;
use http::variables::define as http_define;
use session::variable::NO_CACHE;
use sys::tcp_info::{TcpInfo, of};

pub(super) fn define(variables: &mut Variables) {
    http_define(variables, "tcpinfo_rtt", NO_CACHE, |request, out| put(request, out, |info| info.rtt));
    http_define(variables, "tcpinfo_rttvar", NO_CACHE, |request, out| put(request, out, |info| info.rttvar));
    http_define(variables, "tcpinfo_snd_cwnd", NO_CACHE, |request, out| put(request, out, |info| info.snd_cwnd));
    http_define(variables, "tcpinfo_rcv_space", NO_CACHE, |request, out| put(request, out, |info| info.rcv_space));
}

fn put(request: &Request, out: &mut Vec<u8>, which: fn(&TcpInfo) -> u32) -> bool {
    let mut found = None;
    root(request).wire.with_descriptor(&mut |socket| found = of(socket).ok());
    found.is_some_and(|info| {
        push_number(out, u64::from(which(&info)));
        true
    })
}
