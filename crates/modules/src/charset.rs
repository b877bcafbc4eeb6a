//! `charset`: names the character set of texts, and recodes them (`charset_map`).

use crate::compile::complex;
use crate::filtering::{Types, admits_or};
use crate::marks;
use crate::transform::{self, Transform};
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::switch::Switch;
use conf::tree::{Error, Span};
use http::{Attach, Complex, Levels, Module, Outcome, Request, Step, log_request};
use std::io;
use std::rc::Rc;

mod recode;

use recode::{Map, Recoder};

/// The module; it comes before all filters that pack.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("charset") };

/// What the configuration says of character sets anywhere.
#[derive(Default)]
struct Maps {
    list: Vec<Rc<Map>>,
    /// All sets that it names.
    names: Vec<Box<[u8]>>,
}

impl Maps {
    fn add(&mut self, charset: &[u8]) {
        if !self.contains(charset) {
            self.names.push(charset.into());
        }
    }

    fn contains(&self, charset: &[u8]) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(charset))
    }
}

impl Config for Maps {
    fn inherit(&mut self, _: &Self) {}
}

#[derive(Default)]
struct Conf {
    /// The inner `None` is `off`.
    charset: Option<Switch<Complex>>,
    source: Option<Complex>,
    over: Option<bool>,
    types: Option<Types>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; charset, source, over, types);
    }
}

fn levels(levels: &mut Levels) {
    levels.main::<Maps>().location::<Conf>();
}

const TYPES: [&str; 6] = ["text/html", "text/xml", "text/plain", "text/vnd.wap.wml", "application/javascript", "application/rss+xml"];

fn rows() -> Vec<Row> {
    let at = Context::HTTP_ALL;
    vec![
        Row::new("charset", Context::HTTP_IF, Arity::exactly(1), "Character set of texts, or off.", |cx| {
            let value = if cx.arg(0) == b"off" { Switch::Off } else { Switch::On(charset(cx)?) };
            cx.once(&mut cx.location::<Conf>().charset, value)
        }),
        Row::new("source_charset", Context::HTTP_IF, Arity::exactly(1), "Character set that texts are written in.", |cx| {
            let value = charset(cx)?;
            cx.once(&mut cx.location::<Conf>().source, value)
        }),
        row::flag::<Conf>("override_charset", Context::HTTP_IF, "Recodes what upstreams have named.", |c| &mut c.over),
        Row::new("charset_types", at, Arity::AtLeast(1), "Types whose character set is named.", |cx| {
            Types::add(&mut cx.location::<Conf>().types, cx);
            Ok(())
        }),
        Row::new("charset_map", Context::HTTP, Arity::exactly(2), "A table between two character sets.", map).with_block(),
    ]
}

fn charset(cx: &mut Cx<'_>) -> Result<Complex, Error> {
    let value = complex(cx, 0)?;
    if let Some(name) = value.literal() {
        cx.main::<Maps>().add(name);
    }
    Ok(value)
}

fn map(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (from, to) = (cx.text(0).into_owned(), cx.text(1).into_owned());
    if from.eq_ignore_ascii_case(&to) {
        return Err(cx.error(format!("\"charset_map\" between the same charsets \"{from}\" and \"{to}\"")));
    }
    let mut maps = cx.main::<Maps>();
    let same = |m: &Rc<Map>| (m.is(&from) && m.is_target(&to)) || (m.is(&to) && m.is_target(&from));
    if maps.list.iter().any(same) {
        return Err(cx.error(format!("duplicate \"charset_map\" between \"{from}\" and \"{to}\"")));
    }
    maps.add(from.as_bytes());
    maps.add(to.as_bytes());
    let mut map = Map::new(from, to);
    for line in cx.directive.body.iter().flat_map(|b| &b.directives) {
        let fail = |what: String| Error::new(what, line.name.span);
        let [target] = line.args.as_slice() else { return Err(fail("invalid parameters number".to_owned())) };
        let bad = |text: &[u8]| fail(format!("invalid value \"{}\"", String::from_utf8_lossy(text)));
        let source = recode::hex(&line.name.bytes).filter(|b| b.len() == 1).ok_or_else(|| bad(&line.name.bytes))?;
        let value = recode::hex(&target.bytes).ok_or_else(|| bad(&target.bytes))?;
        if !map.add(source.first().copied().unwrap_or(0), &value) {
            return Err(bad(&target.bytes));
        }
    }
    maps.list.push(Rc::new(map));
    Ok(())
}

fn attach(at: &mut Attach<'_>) -> Result<(), Error> {
    let conf = at.conf::<Conf>();
    let maps = at.main_conf::<Maps>();
    check(&conf, &maps)?;
    // An upstream may ask for any set that is named somewhere.
    if !maps.names.is_empty() || matches!(conf.charset, Some(Switch::On(_))) || conf.source.is_some() {
        let recodes = !maps.list.is_empty();
        at.header_filter(move |request| header_filter(request, &conf, &maps));
        if recodes {
            transform::attach::<Recoder>(at);
        }
    }
    Ok(())
}

/// Two sets that are known beforehand and have no map between them are a fault of the configuration.
fn check(conf: &Conf, maps: &Maps) -> Result<(), Error> {
    let wanted = conf.charset.as_ref().and_then(Switch::as_on).and_then(Complex::literal);
    let Some((from, to)) = conf.source.as_ref().and_then(Complex::literal).zip(wanted) else { return Ok(()) };
    let (from, to) = (String::from_utf8_lossy(from), String::from_utf8_lossy(to));
    if from.eq_ignore_ascii_case(&to) || maps.list.iter().any(|map| Recoder::between(map, &from, &to).is_some()) {
        return Ok(());
    }
    Err(Error::new(format!("no \"charset_map\" between the charsets \"{from}\" and \"{to}\""), Span::NONE))
}

/// Bytes that are recoded at a time: each may become several.
const SLICE: usize = 16 * 1024;

/// The set that a response shall leave in; `None` leaves it alone. Subrequests follow their client's request.
fn destination(request: &Rc<Request>, conf: &Conf, maps: &Maps) -> Option<Vec<u8>> {
    if !request.is_main() {
        let main = request.main();
        let charset = main.response.borrow().charset.clone();
        return Some(charset).filter(|c| !c.is_empty());
    }
    if !request.response.borrow().wanted_charset.is_empty() {
        let wanted = request.response.borrow().wanted_charset.clone();
        if !maps.contains(&wanted) {
            let wanted = String::from_utf8_lossy(&wanted);
            log_request!(request, Level::Error, "unknown charset \"{wanted}\" to override");
            return None;
        }
        return Some(wanted).filter(|_| !request.response.borrow().content_type.is_empty());
    }
    let wanted = conf.charset.as_ref()?.as_on()?;
    {
        let response = request.response.borrow();
        if response.content_type.is_empty() {
            return None;
        }
        if response.charset.is_empty() {
            if !admits_or(conf.types.as_ref(), &TYPES, &response) {
                return None;
            }
        } else if conf.over != Some(true) {
            return None;
        }
    }
    Some(wanted.to_vec(&**request))
}

fn header_filter(request: &Rc<Request>, conf: &Conf, maps: &Maps) -> Step {
    let Some(to) = destination(request, conf, maps) else { return Step::Now(Outcome::Ok) };
    let named = request.response.borrow().charset.clone();
    let from = match (named.is_empty(), &conf.source) {
        (false, _) => named,
        (true, Some(source)) => source.to_vec(&**request),
        (true, None) => {
            name(request, &to);
            return Step::Now(Outcome::Ok);
        }
    };
    if from.eq_ignore_ascii_case(&to) {
        name(request, &to);
        return Step::Now(Outcome::Ok);
    }
    if request.response.borrow().headers.get(b"Content-Encoding").is_some_and(|v| !v.is_empty()) {
        return Step::Now(Outcome::Ok);
    }
    let (from, shown) = (String::from_utf8_lossy(&from).into_owned(), String::from_utf8_lossy(&to).into_owned());
    let Some(recoder) = maps.list.iter().find_map(|map| Recoder::between(map, &from, &shown)) else {
        log_request!(request, Level::Error, "no \"charset_map\" between the charsets \"{from}\" and \"{shown}\"");
        return Step::Now(Outcome::Ok);
    };
    name(request, &to);
    if recoder.changes_length() && request.is_main() {
        request.response.borrow_mut().clear_body_facts();
    }
    transform::begin(request, recoder);
    Step::Now(Outcome::Ok)
}

/// Names the set in `Content-Type`; redirects stay without, as nginx leaves them.
fn name(request: &Request, charset: &[u8]) {
    if !request.is_main() {
        return;
    }
    let mut response = request.response.borrow_mut();
    // A type that code set with parameters of its own keeps them.
    let bare = matches!(response.status, 301 | 302) || response.content_type.contains(&b';');
    response.set_charset(if bare { b"" } else { charset });
}

impl Transform for Recoder {
    const NAME: &'static str = "charset";
    const MARK: u32 = marks::CHARSET;

    fn feed(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let some = data.get(..SLICE).unwrap_or(data);
        self.recode(some, out);
        Ok(some.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.end(out);
        Ok(())
    }
}
