//! Every directive of the server with extreme values: reading it answers or refuses and never panics, and what was
//! accepted does not end the worker that serves with it.

#[path = "../../src/main_level/mod.rs"]
#[allow(dead_code)]
mod main_level;
#[path = "../../src/registry.rs"]
#[allow(dead_code)]
mod registry;

use crate::rig::{Foreground, Prefix, free_port};
use conf::context::{Arity, Context};
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table};
use conf::scope::Frame;
use http::root::{MainContext, Paths};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

/// Numbers, sizes and times at the edges of what 32 and 64 bits hold, and words at the edges of grammars.
const VALUES: [&str; 34] = [
    "0",
    "1",
    "4",
    "-1",
    "65535",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1k",
    "256k",
    "17179869183g",
    "8796093022207m",
    "9007199254740991k",
    "1ms",
    "0s",
    "292471208y",
    "106751991167d",
    "9223372036854775807ms",
    "off",
    "on",
    "/",
    ":",
    "[",
    "~(",
    "*",
    "$",
    "${",
    "-",
    "a=",
];

/// What `key=` is said with.
const KEYED: [&str; 6] = ["0", "1", "-1", "9223372036854775807", "18446744073709551615", "17179869183g"];

/// What a server is asked with.
const EDGES: [&str; 6] = ["0", "4", "256k", "9223372036854775807", "8796093022207m", "9223372036854775807ms"];

/// Where a line of `row` stands, the innermost block first.
fn around(row: &Row) -> Option<(Context, &'static str, &'static str)> {
    let places = [
        (Context::LOCATION, "events { } http { access_log off; server { location / { ", " } } }"),
        (Context::LOCATION_IF, "events { } http { access_log off; server { location / { if ($uri) { ", " } } } }"),
        (Context::SERVER, "events { } http { access_log off; server { ", " } }"),
        (Context::UPSTREAM, "events { } http { access_log off; upstream u { server 127.0.0.1; ", " } server { } }"),
        (Context::HTTP, "events { } http { access_log off; ", " server { } }"),
        (Context::EVENTS, "events { ", " }"),
        (Context::MAIN, "events { } ", ""),
    ];
    places.into_iter().find(|(context, ..)| row.contexts.contains(*context))
}

/// The arguments that a directive is tried with: each value alone and beside usual ones, as many as it takes.
fn arguments(arity: Arity, keys: &[String]) -> Vec<Vec<String>> {
    let (low, high) = match arity {
        Arity::Between(low, high) => (low, high.min(low + 2)),
        Arity::AtLeast(low) => (low, low + 2),
        Arity::Flag => (1, 1),
    };
    let keyed = keys.iter().flat_map(|key| KEYED.iter().map(move |value| format!("{key}={value}")));
    let values: Vec<String> =
        VALUES.iter().map(|value| (*value).to_owned()).chain([String::new(), "x".repeat(4000)]).chain(keyed).collect();
    let mut all = Vec::new();
    for count in low..=high {
        for value in &values {
            for at in 0..count {
                all.push((0..count).map(|i| if i == at { value.clone() } else { "4".to_owned() }).collect());
            }
            if count > 1 {
                all.push(vec![value.clone(); count]);
            }
        }
    }
    all
}

fn line(row: &Row, arguments: &[String]) -> String {
    let words: String = arguments.iter().map(|word| format!(" '{word}'")).collect();
    format!("{}{words}{}", row.name, if row.block { " { }" } else { ";" })
}

/// The names that stand before `=` in the manual's line of syntax.
fn keys(manual: &str, name: &str) -> Vec<String> {
    let section = manual.split_once(&format!("\n### {name}\n")).map_or("", |(_, rest)| rest.split("\n### ").next().unwrap_or(""));
    let words = section.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '='));
    let keys: BTreeSet<String> = words.filter_map(|word| word.split_once('=')).map(|(key, _)| key.to_owned()).collect();
    keys.into_iter().filter(|key| !key.is_empty()).collect()
}

fn manual() -> String {
    let mut text = String::new();
    for part in ["core", "http", "lua"] {
        for entry in std::fs::read_dir(format!("{}/../spec/{part}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            text.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
        }
    }
    text
}

/// Reads one configuration as a start would.
fn read(table: &Table, text: String, prefix: &Prefix) -> Result<(), String> {
    let frame = Frame::default();
    let path = prefix.path.join("");
    frame.global.get::<MainContext>().paths = Rc::new(Paths { prefix: path.clone(), conf_prefix: path });
    let block = Parser::new(Text(text.into()), "/").parse_file(b"x").into_result().map_err(|error| error.message)?;
    table.read(&block, Context::MAIN, &frame).map_err(|error| error.message)?;
    if frame.global.get::<conf::row::Unsupported>().list.is_empty() { Ok(()) } else { Err(String::new()) }
}

/// What makes a server of another protocol the handler, so that the values of its family are put together.
fn companion(table: &Table, row: &Row) -> String {
    let family = row.name.split('_').next().unwrap_or_default();
    let pass = format!("{family}_pass");
    let wanted = row.contexts.contains(Context::LOCATION) && row.name != pass && table.names().any(|name| name == pass);
    let scheme = if family == "proxy" { "http://" } else { "" };
    if wanted { format!(" {pass} {scheme}127.0.0.1:1;") } else { String::new() }
}

/// Names that act outside of the configuration while they are read, or ask the network for names.
const APART: [&str; 2] = ["include", "resolver"];

#[test]
fn no_value_panics_and_no_worker_dies() {
    let prefix = Prefix::new();
    let modules = registry::modules();
    let table = engine::directives::table(&modules, &registry::stream_modules(), main_level::rows());
    let manual = manual();
    let (mut panics, mut accepted) = (Vec::new(), Vec::new());
    for row in table.rows().filter(|row| !APART.contains(&&*row.name)) {
        let Some((context, before, behind)) = around(row) else { continue };
        let pass = companion(&table, row);
        for arguments in arguments(row.arity, &keys(&manual, &row.name)) {
            let line = line(row, &arguments);
            let text = format!("{before}{line}{pass}{behind}");
            match catch_unwind(AssertUnwindSafe(|| read(&table, text, &prefix))) {
                Ok(Ok(())) => accepted.push((context, line)),
                Ok(Err(_)) => {}
                Err(_) => panics.push(line),
            }
        }
    }
    assert!(panics.is_empty(), "{} panics:\n{}", panics.len(), panics.join("\n"));
    assert!(accepted.len() > 1000, "only {} lines were accepted", accepted.len());
    serve(&table, &prefix, &accepted);
}

/// Asks a server with all accepted lines, each in a location or a server of its own.
fn serve(table: &Table, prefix: &Prefix, accepted: &[(Context, String)]) {
    let (port, upstream) = (free_port(), free_port());
    let mut locations = String::new();
    let mut paths = Vec::new();
    // Files and directories that a start makes are not made of such words.
    let file = |line: &str| ["_path ", "_log ", "_password_file "].iter().any(|name| line.contains(name));
    let edge = |line: &str| line.split(" '").skip(1).all(|word| EDGES.contains(&word.trim_end_matches([';', '\''])));
    let usable = |line: &str| line.ends_with(';') && edge(line) && !file(line);
    for (i, (_, line)) in accepted.iter().enumerate().filter(|(_, (context, line))| *context == Context::LOCATION && usable(line)) {
        let passing = format!("{line} proxy_pass http://127.0.0.1:{upstream};");
        for (kind, content) in [("f", line), ("p", &passing)] {
            // The line alone was accepted, maybe beside the handler of its family.
            if read(table, format!("events {{ }} http {{ access_log off; server {{ location / {{ {content} }} }} }}"), prefix).is_ok() {
                locations.push_str(&format!("location /{kind}{i} {{ {content} }}\n"));
                paths.push(format!("/{kind}{i}"));
            }
        }
    }
    assert!(paths.len() > 200, "only {} locations", paths.len());
    let text = format!(
        "daemon off; worker_processes 1; error_log logs/error.log alert; events {{ worker_connections 4096; }}\n\
         http {{ access_log off;\n server {{ listen 127.0.0.1:{upstream}; return 200 '{}'; }}\nserver {{ listen 127.0.0.1:{port};\n{locations} }} }}\n",
        "0123456789".repeat(300)
    );
    prefix.write("conf/nginx.conf", &text);
    let running = Foreground::start(prefix, port, "").unwrap();
    let ask = |path: &str| {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return };
        // Many values mean to wait; that an answer comes is not the point.
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000\r\n\r\n");
        drop(stream.write_all(&[head.as_bytes(), &[b'x'; 3000]].concat()));
        drop(stream.read(&mut [0; 512]));
    };
    std::thread::scope(|scope| {
        for part in paths.chunks(paths.len().div_ceil(8).max(1)) {
            scope.spawn(move || part.iter().for_each(|path| ask(path)));
        }
    });
    drop(running);
    let log = prefix.read("logs/error.log");
    // What is still at work when the server is stopped is killed with signal 9.
    let died = |line: &str| line.contains("exited on signal") && !line.contains("exited on signal 9");
    let bad: Vec<&str> = log.lines().filter(|line| line.contains("panic") || died(line)).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
