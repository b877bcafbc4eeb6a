//! `gzip`: compresses answers as they leave.

mod block;
mod compressors;
mod short;

use crate::accept_gzip::accepted;
use crate::content_coding::{self, define_ratio, is_eligible, power};
use crate::filtering::{Types, check_buffers};
use base::saturated::Saturated;
use compressors::{Compressors, LARGEST_WINDOW, Settings};
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Request, Variables};

/// The module; it comes after all filters that make or change text.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, variables, attach, ..Module::named("gzip") };

#[derive(Default)]
struct Conf {
    on: Option<bool>,
    level: Option<u64>,
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
        row::flag::<Conf>("gzip", Context::HTTP_IF, "Compresses responses.", |c| &mut c.on),
        Row::new("gzip_comp_level", at, Arity::exactly(1), "Level of compression, 1 to 9.", |cx| {
            let level = cx.number(0)?;
            if !(1..=9).contains(&level) {
                return Err(cx.error_at(0, "value must be between 1 and 9"));
            }
            cx.once(&mut cx.location::<Conf>().level, level)
        }),
        row::size::<Conf>("gzip_min_length", at, "Shortest body that is compressed.", |c| &mut c.min_length),
        Row::new("gzip_types", at, Arity::AtLeast(1), "Types that are compressed besides text/html.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
        Row::new("gzip_window", at, Arity::exactly(1), "Longest distance at which repetitions are found.", |cx| {
            let window = power(cx, 9..=15, "must be 512, 1k, 2k, 4k, 8k, 16k, or 32k")?;
            cx.once(&mut cx.location::<Conf>().window, window)
        }),
        Row::new("gzip_hash", at, Arity::exactly(1), "Accepted; tables have one size.", |cx| {
            power(cx, 9..=17, "must be 512, 1k, 2k, 4k, 8k, 16k, 32k, 64k, or 128k").map(drop)
        }),
        Row::new("postpone_gzipping", at, Arity::exactly(1), "Accepted; buffers grow as needed.", |cx| cx.size(0).map(drop)),
        Row::new("gzip_no_buffer", at, Arity::Flag, "Accepted; what is compressed leaves at once.", |cx| cx.flag(0).map(drop)),
        Row::new("gzip_buffers", at, Arity::exactly(2), "Accepted; buffers grow as needed.", |cx| check_buffers(cx)),
    ]
}

fn variables(variables: &mut Variables) {
    define_ratio::<Compressors>(variables, "gzip_ratio");
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    if conf.on == Some(true) {
        // zlib-rs's level 1 packs far worse than zlib's; its level 2 is nginx's default.
        let level = u32::saturated(conf.level.unwrap_or(1).max(2));
        let settings = Settings { level, window: conf.window.unwrap_or(LARGEST_WINDOW) };
        let fits = move |request: &Request| is_eligible(request, conf.min_length, conf.types.as_ref());
        content_coding::attach::<Compressors>(at, fits, move |request, accept| accepted(request, accept).then_some(settings));
    }
    Ok(())
}
