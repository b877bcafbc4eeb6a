//! `geoip2`: variables from MaxMind's databases (`ngx_http_geoip2_module`).

mod database;
#[cfg(test)]
mod made_tests;
mod value;

use crate::block;
use crate::cidr::{numeric, parse_address};
use crate::trusted_proxies::{self, TrustedProxies};
use base::text;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::{Directive, Error};
use database::{Database, Path};
use http::{Module, Request};
use session::paths::MainContext;
use session::variable::{self, CHANGEABLE, VarIndex};
use session::{Configured, Join, Levels, Outcome, Step, Variables};
use std::net::IpAddr;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows: http_rows, levels: http_levels, attach: |at| attach::<Request>(at), ..Module::named("geoip2") };

/// The module of streams.
pub const STREAM: stream::Module =
    stream::Module { rows: rows::<stream::Session>, levels, attach: |at| attach::<stream::Session>(at), ..stream::Module::named("geoip2") };

/// Tells the proxies that this module trusts from others.
struct Geoip2;

#[derive(Default)]
struct Conf {
    databases: Vec<Rc<Database>>,
}

impl Config for Conf {
    fn inherit(&mut self, _: &Self) {}
}

fn levels(levels: &mut Levels) {
    levels.main::<Conf>();
}

fn http_levels(levels: &mut Levels) {
    levels.main::<Conf>().main::<TrustedProxies<Geoip2>>();
}

fn rows<S: Configured>() -> Vec<Row> {
    vec![Row::new("geoip2", S::OUTERMOST, Arity::exactly(1), "Variables from a database about addresses.", geoip2::<S>).with_block()]
}

fn http_rows() -> Vec<Row> {
    let mut rows = rows::<Request>();
    rows.extend(trusted_proxies::rows::<Geoip2>("geoip2_proxy", "geoip2_proxy_recursive"));
    rows
}

fn geoip2<S: Configured>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let path = cx.global::<MainContext>().paths.resolve(cx.arg(0));
    if cx.main::<Conf>().databases.iter().any(|database| database.path() == path) {
        return Err(cx.error_at(0, format!("Duplicate GeoIP2 mmdb - {}", path.display())));
    }
    let mut interval = 0;
    for directive in block::entries(cx)? {
        if directive.name.bytes == b"auto_reload" {
            interval = reload_interval(directive)?;
        }
    }
    let opened = Database::open(path.clone(), interval);
    let database = opened.map_err(|why| cx.error_at(0, format!("MMDB_open(\"{}\") failed - {why}", path.display())))?;
    let database = Rc::new(database);
    for directive in block::entries(cx)? {
        match directive.name.bytes.strip_prefix(b"$") {
            Some(name) => define::<S>(cx, directive, &String::from_utf8_lossy(name), &database)?,
            None if directive.name.bytes == b"auto_reload" => {}
            None => return Err(block::error(directive, format!("invalid setting \"{}\"", directive.name.text()))),
        }
    }
    cx.main::<Conf>().databases.push(database);
    Ok(())
}

fn reload_interval(directive: &Directive) -> Result<i64, Error> {
    let [interval] = &*directive.args else {
        return Err(block::error(directive, "invalid number of arguments for auto_reload"));
    };
    let seconds = text::parse_time_sec(&interval.bytes).and_then(|seconds| i64::try_from(seconds).ok());
    seconds.ok_or_else(|| block::error(directive, format!("invalid interval for auto_reload \"{}\"", interval.text())))
}

fn define<S: Configured>(cx: &Cx<'_>, directive: &Directive, name: &str, database: &Rc<Database>) -> Result<(), Error> {
    if name.is_empty() {
        return Err(block::error(directive, format!("invalid variable name \"{}\"", directive.name.text())));
    }
    let (database, words) = (database.clone(), block::words(directive));
    if words.get(1) == Some(&b"metadata".as_slice()) {
        let field = words.get(2).map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default();
        return add::<S>(cx, directive, name, Rc::new(move |_, out| database.metadata(&field, out)));
    }
    let field = field::<S>(cx, directive, name)?;
    add::<S>(
        cx,
        directive,
        name,
        Rc::new(move |session: &S, out| {
            let address = match field.source {
                Some(source) => named(session, source),
                None => trusted_proxies::client::<Geoip2, S>(session),
            };
            if address.is_some_and(|address| database.find(address, &field.path, out)) {
                return true;
            }
            out.extend_from_slice(&field.default);
            !field.default.is_empty()
        }),
    )
}

fn add<S: Configured>(cx: &Cx<'_>, directive: &Directive, name: &str, get: variable::Get<S>) -> Result<(), Error> {
    let added = cx.global::<Variables<S>>().add(name, Some(get), CHANGEABLE);
    added.map(drop).map_err(|message| block::error(directive, message))
}

/// What a variable is taken from.
struct Field {
    source: Option<VarIndex>,
    default: Vec<u8>,
    path: Path,
}

fn field<S: Configured>(cx: &Cx<'_>, directive: &Directive, name: &str) -> Result<Field, Error> {
    let again = |what: &str| Err(block::error(directive, format!("{what} has already been declared for  \"${name}\"")));
    let (mut source, mut default) = (None, Vec::new());
    let settings = directive.args.iter().take_while(|word| word.bytes.contains(&b'=')).count();
    for word in directive.args.iter().take(settings) {
        match word.bytes.split_at_checked(7) {
            Some((b"default", value)) if value.len() > 1 && value.starts_with(b"=") => {
                if !default.is_empty() {
                    return again("default");
                }
                default = value.get(1..).unwrap_or_default().to_vec();
            }
            Some((b"source=", value)) if !value.is_empty() => {
                if source.is_some() {
                    return again("source");
                }
                let text = String::from_utf8_lossy(value);
                let Some(variable) = text.strip_prefix('$').filter(|name| !name.is_empty()) else {
                    return Err(block::error(directive, format!("invalid source variable name \"{text}\"")));
                };
                let variable = variable.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(variable);
                source = Some(cx.global::<Variables<S>>().index(variable));
            }
            _ => return Err(block::error(directive, format!("invalid setting \"{}\" for \"${name}\"", word.text()))),
        }
    }
    let path = Path::new(directive.args.iter().skip(settings).map(|word| word.text().into_owned()));
    Ok(Field { source, default, path })
}

/// The address that a variable holds.
fn named<S: Configured>(session: &S, source: VarIndex) -> Option<IpAddr> {
    let mut text = Vec::new();
    if !variable::get_flushed(session, source, &mut text) {
        return None;
    }
    numeric(&parse_address(&text)?)
}

fn attach<S: Configured>(at: &mut impl Join<S>) -> Result<(), Error> {
    let reloaded: Vec<_> = at.main_conf::<Conf>().databases.iter().filter(|database| database.reloads()).cloned().collect();
    if !reloaded.is_empty() {
        at.log(move |session| {
            for database in &reloaded {
                database.refresh(&**session);
            }
            Step::Now(Outcome::Ok)
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::made_tests::{Made, database};
    use super::*;
    use crate::bare_tests::{Bare, Setup};

    fn file(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("lunette-geoip2-{name}-{}", std::process::id()));
        let entries = [
            (
                "10.0.0.0/8",
                Made::map([(
                    "country",
                    Made::map([("iso_code", Made::Text("NL")), ("names", Made::map([("en", Made::Text("Netherlands"))]))]),
                )]),
            ),
            ("::ffff:0:0/96", Made::Text("mapped")),
            ("2001:db8::/32", Made::map([("list", Made::List(vec![Made::Double(1.5), Made::Text("last")])), ("0", Made::Flag(true))])),
        ];
        std::fs::write(&path, database(&entries)).unwrap();
        path
    }

    fn read(text: &str) -> Result<Setup, String> {
        Setup::read(text, rows::<Bare>(), |_| {})
    }

    #[test]
    fn addresses_and_their_values() {
        let path = file("values");
        let text = format!(
            "geoip2 {} {{ $code default=ZZ country iso_code; $name country names en; $map country; $first list 0; $last list -1; $none list 2;\
             $zero 0; $of default=- source=$addr country iso_code; $epoch metadata build_epoch; $what metadata what; $all; }}",
            path.display()
        );
        let setup = read(&text).unwrap();
        let table = [
            ("10.1.2.3", [Some("NL"), Some("Netherlands"), None, None, None, None, None, Some("NL")]),
            ("::ffff:10.1.2.3", [Some("NL"), Some("Netherlands"), None, None, None, None, None, Some("NL")]),
            ("2001:db8::7", [Some("ZZ"), None, None, Some("1.50000"), Some("last"), None, Some("1"), Some("-")]),
            ("192.0.2.1", [Some("ZZ"), None, None, None, None, None, None, Some("-")]),
            ("unix:", [Some("ZZ"), None, None, None, None, None, None, Some("-")]),
        ];
        for (client, expected) in table {
            let client_of = setup.client(client, None);
            for (name, value) in ["code", "name", "map", "first", "last", "none", "zero", "of"].iter().zip(expected) {
                assert_eq!(client_of.variable(name).as_deref(), value, "${name} of {client}");
            }
            assert_eq!(client_of.variable("epoch").as_deref(), Some("1700000000"));
            assert_eq!(client_of.variable("what"), None);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_refused() {
        let path = file("refused");
        let shown = path.display();
        let broken = std::env::temp_dir().join(format!("lunette-geoip2-broken-{}", std::process::id()));
        std::fs::write(&broken, b"no database").unwrap();
        for (block, expected) in [
            ("v x;".to_owned(), "invalid setting \"v\"".to_owned()),
            ("$ x;".into(), "invalid variable name \"$\"".into()),
            ("auto_reload;".into(), "invalid number of arguments for auto_reload".into()),
            ("auto_reload x;".into(), "invalid interval for auto_reload \"x\"".into()),
            ("$v default=a default=b x;".into(), "default has already been declared for  \"$v\"".into()),
            ("$v source=$addr source=$addr x;".into(), "source has already been declared for  \"$v\"".into()),
            ("$v source=addr x;".into(), "invalid source variable name \"addr\"".into()),
            ("$v other=x x;".into(), "invalid setting \"other=x\" for \"$v\"".into()),
            ("$addr x;".into(), "the duplicate \"addr\" variable".into()),
        ] {
            assert_eq!(read(&format!("geoip2 {shown} {{ {block} }}")).err(), Some(expected), "{block}");
        }
        let twice = format!("geoip2 {shown} {{ }} geoip2 {shown} {{ }}");
        assert_eq!(read(&twice).err(), Some(format!("Duplicate GeoIP2 mmdb - {shown}")));
        let missing = read("geoip2 /no/such/file { }").err();
        assert_eq!(missing.as_deref(), Some("MMDB_open(\"/no/such/file\") failed - Error opening the specified MaxMind DB file"));
        let text = read(&format!("geoip2 {} {{ }}", broken.display())).err().unwrap();
        assert!(text.contains("failed - The MaxMind DB file contains invalid metadata"), "{text}");
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(broken).unwrap();
    }
}
