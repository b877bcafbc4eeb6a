//! `add_header`, `add_trailer`, `expires` (nginx manual, `ngx_http_headers_module`).

mod expires;

use crate::compile::complex;
use crate::marks;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use expires::Expires;
use http::location::Filtered;
use http::{Attach, Chain, Complex, Levels, Module, Outcome, Request, Step};
use std::rc::Rc;

/// `add_header`, `add_trailer`, `expires`. A header filter near the end: what it adds is not seen by Lua's.
pub const MODULE: Module = Module { rows, levels, attach, ..Module::named("headers") };

/// One `add_header` or `add_trailer`.
#[derive(Clone)]
struct Field {
    name: Box<[u8]>,
    value: Complex,
    always: bool,
}

/// `add_header_inherit`, `add_trailer_inherit`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inherit {
    Off,
    On,
    Merge,
}

#[derive(Default)]
struct Fields {
    headers: Option<Vec<Field>>,
    trailers: Option<Vec<Field>>,
    inherit_headers: Option<Inherit>,
    inherit_trailers: Option<Inherit>,
    expires: Option<Expires>,
}

impl Config for Fields {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; expires, inherit_headers, inherit_trailers);
        merge(&mut self.headers, &parent.headers, self.inherit_headers);
        merge(&mut self.trailers, &parent.trailers, self.inherit_trailers);
    }
}

fn merge(own: &mut Option<Vec<Field>>, parent: &Option<Vec<Field>>, how: Option<Inherit>) {
    let (Some(outer), how) = (parent, how.unwrap_or(Inherit::On)) else { return };
    match own {
        _ if how == Inherit::Off => {}
        None => *own = Some(outer.clone()),
        Some(own) if how == Inherit::Merge => own.extend_from_slice(outer),
        Some(_) => {}
    }
}

fn rows() -> Vec<Row> {
    const WAYS: [(&str, Inherit); 3] = [("on", Inherit::On), ("off", Inherit::Off), ("merge", Inherit::Merge)];
    vec![
        Row::new("expires", Context::HTTP_IF, Arity::Between(1, 2), "Sets Expires and Cache-Control.", |cx| {
            let value = expires::parse_row(cx)?;
            cx.once(&mut cx.location::<Fields>().expires, value)
        }),
        Row::new("add_header", Context::HTTP_IF, Arity::Between(2, 3), "Adds a header field to responses.", |cx| {
            let field = field(cx)?;
            cx.location::<Fields>().headers.get_or_insert_default().push(field);
            Ok(())
        }),
        Row::new("add_trailer", Context::HTTP_IF, Arity::Between(2, 3), "Adds a trailer field to responses.", |cx| {
            let field = field(cx)?;
            cx.location::<Fields>().trailers.get_or_insert_default().push(field);
            Ok(())
        }),
        Row::new("add_header_inherit", Context::HTTP_IF, Arity::exactly(1), "How add_header of outer levels are inherited.", |cx| {
            let value = cx.choice(0, &WAYS)?;
            cx.once(&mut cx.location::<Fields>().inherit_headers, value)
        }),
        Row::new("add_trailer_inherit", Context::HTTP_IF, Arity::exactly(1), "How add_trailer of outer levels are inherited.", |cx| {
            let value = cx.choice(0, &WAYS)?;
            cx.once(&mut cx.location::<Fields>().inherit_trailers, value)
        }),
    ]
}

fn field(cx: &Cx<'_>) -> Result<Field, Error> {
    let value = complex(cx, 1)?;
    let always = match cx.arg(2) {
        b"" if cx.args().len() == 2 => false,
        b"always" => true,
        _ => return Err(cx.invalid_parameter(2)),
    };
    Ok(Field { name: cx.arg(0).into(), value, always })
}

fn levels(levels: &mut Levels) {
    levels.location::<Fields>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<Fields>();
    if own.headers.is_some() || own.trailers.is_some() || own.expires.as_ref().is_some_and(|e| !e.is_off()) {
        let fields = own.clone();
        place.header_filter(move |request| {
            add(request, &fields);
            Step::Now(Outcome::Ok)
        });
    }
    if own.trailers.is_some() {
        place.body_filter_on_demand(marks::TRAILERS, move |request, chain| Filtered::Now(Ok(add_trailers(request, &own, chain))));
    }
    Ok(())
}

/// The statuses of fields without `always`.
fn is_safe(status: u16) -> bool {
    matches!(status, 200 | 201 | 204 | 206 | 301 | 302 | 303 | 304 | 307 | 308)
}

fn add(request: &Rc<Request>, own: &Fields) {
    if !request.is_main() {
        return;
    }
    let safe = is_safe(request.response.borrow().status);
    if let Some(expires) = own.expires.as_ref().filter(|_| safe) {
        expires.apply(request);
    }
    for field in own.headers.iter().flatten().filter(|field| safe || field.always) {
        let value = field.value.to_vec(&**request);
        let mut response = request.response.borrow_mut();
        let modified = field.name.eq_ignore_ascii_case(b"last-modified");
        if modified {
            response.last_modified = wire::date::parse(&value);
        }
        if modified || field.name.eq_ignore_ascii_case(b"etag") {
            response.headers.remove(&field.name);
        }
        if !value.is_empty() {
            response.headers.push(&field.name, &value);
        }
    }
    if own.trailers.iter().flatten().any(|field| safe || field.always) {
        request.flags.expects_trailers.set(true);
        request.demand_body_filter(marks::TRAILERS);
    }
}

fn add_trailers(request: &Rc<Request>, own: &Fields, chain: Chain) -> Chain {
    if !chain.last || !request.is_main() || request.flags.header_only.get() {
        return chain;
    }
    let safe = is_safe(request.response.borrow().status);
    for field in own.trailers.iter().flatten().filter(|field| safe || field.always) {
        let value = field.value.to_vec(&**request);
        if !value.is_empty() {
            request.response.borrow_mut().trailers.push(&field.name, &value);
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> Option<Vec<Field>> {
        Some(names.iter().map(|name| Field { name: name.as_bytes().into(), value: Complex::from_literal(b"v"), always: false }).collect())
    }

    fn names(fields: &Fields) -> Vec<String> {
        fields.headers.iter().flatten().map(|f| String::from_utf8_lossy(&f.name).into_owned()).collect()
    }

    #[test]
    fn inner_fields_replace_outer_ones_unless_merged() {
        let outer = Fields { headers: fields(&["a"]), ..Fields::default() };
        let mut none = Fields::default();
        none.inherit(&outer);
        assert_eq!(names(&none), ["a"]);
        let mut own = Fields { headers: fields(&["b"]), ..Fields::default() };
        own.inherit(&outer);
        assert_eq!(names(&own), ["b"]);
        let mut merged = Fields { headers: fields(&["b"]), inherit_headers: Some(Inherit::Merge), ..Fields::default() };
        merged.inherit(&outer);
        assert_eq!(names(&merged), ["b", "a"]);
        let mut off = Fields { inherit_headers: Some(Inherit::Off), ..Fields::default() };
        off.inherit(&outer);
        assert!(names(&off).is_empty());
    }
}
