//! `geoip_country`, `geoip_city`, `geoip_org`: variables from MaxMind's older databases (nginx manual, `ngx_http_geoip_module`).

mod countries;
mod dat;
#[cfg(test)]
mod dat_tests;

use crate::trusted_proxies::{self, TrustedProxies};
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use countries::{CURACAO, country};
use dat::{City, Dat};
use http::{Module, Request};
use session::paths::MainContext;
use session::{Configured, Levels, Variables};
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;

/// The module.
pub const MODULE: Module = Module { rows: http_rows, levels: http_levels, variables: variables::<Request>, ..Module::named("geoip") };

/// The module of streams.
pub const STREAM: stream::Module =
    stream::Module { rows: rows::<stream::Session>, levels, variables: variables::<stream::Session>, ..stream::Module::named("geoip") };

/// Tells the proxies that this module trusts from others.
struct Geoip;

/// A database, and whether its texts become UTF-8.
struct Database {
    dat: Dat,
    utf8: bool,
}

#[derive(Default)]
struct Conf {
    country: Option<Rc<Database>>,
    city: Option<Rc<Database>>,
    org: Option<Rc<Database>>,
}

impl Config for Conf {
    fn inherit(&mut self, _: &Self) {}
}

fn levels(levels: &mut Levels) {
    levels.main::<Conf>();
}

fn http_levels(levels: &mut Levels) {
    levels.main::<Conf>().main::<TrustedProxies<Geoip>>();
}

fn rows<S: Configured>() -> Vec<Row> {
    type Slot = fn(&mut Conf) -> &mut Option<Rc<Database>>;
    let row = |name: &'static str, about: &'static str, what: &'static str, kinds: &'static [u8], slot: Slot| {
        Row::new(name, S::OUTERMOST, Arity::Between(1, 2), about, move |cx| {
            if slot(&mut cx.main::<Conf>()).is_some() {
                return Err(cx.duplicate());
            }
            let database = open(cx, what, kinds)?;
            *slot(&mut cx.main::<Conf>()) = Some(Rc::new(database));
            Ok(())
        })
    };
    vec![
        row("geoip_country", "A database of countries.", "", &dat::COUNTRY, |conf| &mut conf.country),
        row("geoip_city", "A database of cities.", "City ", &dat::CITY, |conf| &mut conf.city),
        row("geoip_org", "A database of organizations.", "", &dat::NAMES, |conf| &mut conf.org),
    ]
}

fn http_rows() -> Vec<Row> {
    let mut rows = rows::<Request>();
    rows.extend(trusted_proxies::rows::<Geoip>("geoip_proxy", "geoip_proxy_recursive"));
    rows
}

fn open(cx: &Cx<'_>, what: &str, kinds: &[u8]) -> Result<Database, Error> {
    let path = cx.global::<MainContext>().paths.resolve(cx.arg(0));
    let dat = std::fs::read(path).ok().and_then(Dat::read);
    let dat = dat.ok_or_else(|| cx.error_at(0, format!("GeoIP_open(\"{}\") failed", cx.text(0))))?;
    let utf8 = cx.args().len() == 2;
    if utf8 && cx.arg(1) != b"utf8" {
        return Err(cx.invalid_parameter(1));
    }
    if !kinds.contains(&dat.kind()) {
        return Err(cx.error_at(0, format!("invalid GeoIP {what}database \"{}\" type:{}", cx.text(0), dat.kind())));
    }
    Ok(Database { dat, utf8 })
}

impl Database {
    /// Adds a text of the database, which is in ISO 8859-1; whether there is one.
    fn put(&self, text: &[u8], out: &mut Vec<u8>) -> bool {
        if self.utf8 {
            let mut place = [0; 4];
            text.iter().for_each(|byte| out.extend_from_slice(char::from(*byte).encode_utf8(&mut place).as_bytes()));
        } else {
            out.extend_from_slice(text);
        }
        !text.is_empty()
    }

    fn put_country(&self, number: u8, out: &mut Vec<u8>) -> bool {
        let name = if self.utf8 && number == CURACAO.0 { CURACAO.1 } else { country(number).3 };
        out.extend_from_slice(name.as_bytes());
        true
    }
}

fn variables<S: Configured>(variables: &mut Variables<S>) {
    fn put(out: &mut Vec<u8>, text: &str) -> bool {
        out.extend_from_slice(text.as_bytes());
        true
    }
    of_country(variables, "geoip_country_code", |_, number, out| put(out, country(number).0));
    of_country(variables, "geoip_country_code3", |_, number, out| put(out, country(number).1));
    of_country(variables, "geoip_country_name", |database, number, out| database.put_country(number, out));
    of_city(variables, "geoip_city_continent_code", |_, city, out| put(out, country(city.country).2));
    of_city(variables, "geoip_city_country_code", |_, city, out| put(out, country(city.country).0));
    of_city(variables, "geoip_city_country_code3", |_, city, out| put(out, country(city.country).1));
    of_city(variables, "geoip_city_country_name", |database, city, out| database.put_country(city.country, out));
    of_city(variables, "geoip_region", |_, city, out| {
        out.extend_from_slice(city.region);
        !city.region.is_empty()
    });
    of_city(variables, "geoip_city", |database, city, out| database.put(city.city, out));
    of_city(variables, "geoip_postal_code", |_, city, out| {
        out.extend_from_slice(city.postal_code);
        !city.postal_code.is_empty()
    });
    // Writing to a Vec cannot fail.
    of_city(variables, "geoip_latitude", |_, city, out| write!(out, "{:.4}", city.latitude).is_ok());
    of_city(variables, "geoip_longitude", |_, city, out| write!(out, "{:.4}", city.longitude).is_ok());
    of_city(variables, "geoip_dma_code", |_, city, out| write!(out, "{}", city.dma_code).is_ok());
    of_city(variables, "geoip_area_code", |_, city, out| write!(out, "{}", city.area_code).is_ok());
    variables.define(
        "geoip_org",
        0,
        Rc::new(|session: &S, out| {
            let Some(database) = session.main_conf::<Conf>().org.clone() else { return false };
            database.dat.name(client(session)).is_some_and(|name| {
                database.put(name, out);
                true
            })
        }),
    );
}

fn client<S: Configured>(session: &S) -> Option<IpAddr> {
    trusted_proxies::client::<Geoip, S>(session)
}

fn of_country<S: Configured>(variables: &mut Variables<S>, name: &str, put: fn(&Database, u8, &mut Vec<u8>) -> bool) {
    variables.define(
        name,
        0,
        Rc::new(move |session: &S, out| {
            let Some(database) = session.main_conf::<Conf>().country.clone() else { return false };
            database.dat.country(client(session)).is_some_and(|number| put(&database, number, out))
        }),
    );
}

fn of_city<S: Configured>(variables: &mut Variables<S>, name: &str, put: fn(&Database, &City<'_>, &mut Vec<u8>) -> bool) {
    variables.define(
        name,
        0,
        Rc::new(move |session: &S, out| {
            let Some(database) = session.main_conf::<Conf>().city.clone() else { return false };
            database.dat.city(client(session)).is_some_and(|city| put(&database, &city, out))
        }),
    );
}
