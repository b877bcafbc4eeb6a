//! `brotli`: compresses answers with brotli for clients that take it; what it does not compress is left to `gzip`.

mod encoders;
mod tables;

use crate::accept_gzip;
use crate::content_coding::{self, define_ratio, is_eligible, power};
use crate::filtering::{Types, check_buffers};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use conf::tree::Error;
use encoders::{Encoders, Settings};
use http::{Attach, Levels, Module, Request, Variables};

/// The module; it comes just before `gzip`, which passes by what is compressed already.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, variables, attach, ..Module::named("brotli") };

/// `brotli_comp_level` where there is none.
const LEVEL: u32 = 6;
/// The logarithm of `brotli_window` where there is none: 512 KiB.
const WINDOW: u32 = 19;

#[derive(Default)]
struct Conf {
    on: Option<bool>,
    level: Option<u32>,
    window: Option<u8>,
    min_length: Option<u64>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on, level, window, min_length, types);
    }
}

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("brotli", Context::HTTP_IF, "Compresses responses with brotli.", |c| &mut c.on),
        Row::new("brotli_comp_level", at, Arity::exactly(1), "Level of compression, 0 to 11.", |cx| {
            let level = u32::try_from(cx.number(0)?).unwrap_or(u32::MAX);
            if level > 11 {
                return Err(cx.error_at(0, "value must be between 0 and 11"));
            }
            cx.once(&mut cx.location::<Conf>().level, level)
        }),
        Row::new("brotli_window", at, Arity::exactly(1), "Longest distance at which repetitions are found.", |cx| {
            let text = "must be 1k, 2k, 4k, 8k, 16k, 32k, 64k, 128k, 256k, 512k, 1m, 2m, 4m, 8m or 16m";
            let window = power(cx, 10..=24, text)?;
            cx.once(&mut cx.location::<Conf>().window, window)
        }),
        row::size::<Conf>("brotli_min_length", at, "Shortest body that is compressed.", |c| &mut c.min_length),
        Row::new("brotli_types", at, Arity::AtLeast(1), "Types that are compressed besides text/html.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
        Row::new("brotli_buffers", at, Arity::exactly(2), "Accepted; buffers grow as needed.", |cx| check_buffers(cx)),
    ]
}

fn variables(variables: &mut Variables) {
    define_ratio::<Encoders>(variables, "brotli_ratio");
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.on == Some(true) {
        let settings = Settings { level: conf.level.unwrap_or(LEVEL), window: conf.window.map_or(WINDOW, u32::from) };
        let fits = move |request: &Request| is_eligible(request, conf.min_length, conf.types.as_ref());
        content_coding::attach::<Encoders>(at, fits, move |request, _| accept_gzip::names_brotli(request).then_some(settings));
    }
    Ok(())
}
