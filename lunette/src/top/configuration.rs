//! The location with `metrics` in a configuration.

use super::target::{At, Target};
use crate::command_error::CommandError;
use crate::layout::Layout;
use crate::parsed;
use conf::tree::{Block, Directive};

/// Where the server of this configuration has its metrics.
pub(super) fn find(options: &daemon::Options) -> Result<Target, CommandError> {
    let layout = Layout::new(options);
    let (parsed, _) = parsed::parse(&layout);
    if let Some(error) = parsed.error {
        return Err(format!("{}\nName the metrics' URL: lunette top http://localhost:8080/metrics", error.message).into());
    }
    let servers = blocks(&parsed.block, "http").flat_map(|http| blocks(http, "server"));
    servers.flat_map(targets).next().ok_or_else(|| {
        format!(
            "no location with \"metrics\" in {}: add one, such as\n    location = /metrics {{ metrics; allow 127.0.0.1; deny all; }}\n\
             or name the URL of one: lunette top http://localhost:8080/metrics",
            layout.conf.display()
        )
        .into()
    })
}

fn blocks<'a>(block: &'a Block, name: &'static str) -> impl Iterator<Item = &'a Block> {
    named(block, name).filter_map(|directive| directive.body.as_ref())
}

fn named<'a>(block: &'a Block, name: &'static str) -> impl Iterator<Item = &'a Directive> {
    block.directives.iter().filter(move |directive| directive.name.bytes == name.as_bytes())
}

/// The metrics of a server, at each of its addresses.
fn targets(server: &Block) -> Vec<Target> {
    let mut addresses: Vec<At> = named(server, "listen").filter_map(address).collect();
    if named(server, "listen").next().is_none() {
        addresses.push(At::Host("127.0.0.1:80".to_owned()));
    }
    let plain = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let names = named(server, "server_name").flat_map(|directive| &directive.args).map(|word| word.text().into_owned());
    let host = names.into_iter().find(plain).unwrap_or_else(|| "localhost".to_owned());
    let own = has_metrics(server).then(|| "/".to_owned());
    let paths: Vec<String> = own.into_iter().chain(named(server, "location").filter_map(path)).collect();
    let target = |(at, path): (At, &String)| Target { at, host: host.clone(), path: path.clone() };
    addresses.into_iter().flat_map(|at| paths.first().map(|path| (at, path))).map(target).collect()
}

/// Whether the text form of metrics is given here.
fn has_metrics(block: &Block) -> bool {
    named(block, "metrics").any(|directive| directive.args.first().is_none_or(|word| word.bytes == b"prometheus"))
}

/// The path of a location with metrics; one that is a regular expression has none.
fn path(location: &Directive) -> Option<String> {
    location.body.as_ref().filter(|body| has_metrics(body))?;
    let words: Vec<_> = location.args.iter().map(|word| word.text()).collect();
    let path = match words.as_slice() {
        [path] => path,
        [sign, path] if sign == "=" || sign == "^~" => path,
        _ => return None,
    };
    path.starts_with('/').then(|| path.clone().into_owned())
}

/// An address that can be asked without TLS.
fn address(listen: &Directive) -> Option<At> {
    let (first, parameters) = listen.args.split_first()?;
    if parameters.iter().any(|word| [b"ssl".as_slice(), b"quic", b"proxy_protocol"].contains(&word.bytes.as_slice())) {
        return None;
    }
    let text = first.text();
    if let Some(path) = text.strip_prefix("unix:") {
        return Some(At::Unix(path.into()));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => ("", &*text),
        _ => (&*text, "80"),
    };
    let host = match host {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    Some(At::Host(format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let tree = parsed::tree(text);
        let servers: Vec<_> = blocks(&tree, "server").flat_map(targets).collect();
        servers.iter().map(|target| format!("{} {target}", target.host)).collect()
    }

    #[test]
    fn the_first_location_that_can_be_asked() {
        assert_eq!(found("server { listen 8080; location = /m { metrics; } }"), ["localhost http://127.0.0.1:8080/m"]);
        assert_eq!(found("server { server_name ~^a *.b c.d; location /m { metrics prometheus; } }"), ["c.d http://127.0.0.1:80/m"]);
        assert_eq!(
            found("server { listen unix:/s; listen [::]:81; metrics; }"),
            ["localhost http://unix:/s:/", "localhost http://[::1]:81/"]
        );
        assert_eq!(found("server { listen a; listen 443 ssl; location ^~ /x/ { metrics; } }"), ["localhost http://a:80/x/"]);
        for none in ["location ~ m { metrics; }", "location /m { metrics json; }", "location /m { stub_status; }"] {
            assert_eq!(found(&format!("server {{ listen 80; {none} }}")), [""; 0]);
        }
    }
}
