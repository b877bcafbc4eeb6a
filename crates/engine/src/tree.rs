//! The blocks `http`, `server`, `location` and `limit_except` while the configuration is read.

use crate::build;
use crate::nodes::{BlockContent, ChildNode, Finished, Servers};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Unsupported};
use conf::scope::Scope;
use conf::tree::Error;
use http::Module;
use http::location::Match;
use http::method::Method;
use http::root::MainContext;
use http::{Regex, Variables};
use std::rc::Rc;

/// Rows of the blocks.
pub fn rows(modules: &Rc<[Module]>) -> Vec<Row> {
    let all = modules.clone();
    vec![
        Row::new("http", Context::MAIN, Arity::exactly(0), "Holds everything about HTTP.", move |cx| http_block(cx, &all)).with_block(),
        Row::new("server", Context::HTTP, Arity::exactly(0), "A virtual server.", server_block).with_block(),
        Row::new("location", Context::SERVER | Context::LOCATION, Arity::Between(1, 2), "Settings for a set of URIs.", location_block)
            .with_block(),
        Row::new("limit_except", Context::LOCATION, Arity::AtLeast(1), "Settings for all methods but those named.", limit_except)
            .with_block(),
    ]
}

fn http_block(cx: &mut Cx<'_>, modules: &Rc<[Module]>) -> Result<(), Error> {
    if cx.global::<Finished>().http.is_some() {
        return Err(cx.duplicate());
    }
    let frame = cx.frame.protocol();
    for module in modules.iter() {
        (module.variables)(&mut frame.global.get::<Variables>());
    }
    cx.read_block(Context::HTTP, &frame)?;
    // What is missing may be what the rest relies on: nothing that follows from it is worth a word.
    if cx.global::<MainContext>().partial || !cx.global::<Unsupported>().list.is_empty() {
        return Ok(());
    }
    let finished = build::finish(&frame, modules, cx.directive.body.as_ref())?;
    cx.global::<Finished>().http = Some(finished);
    Ok(())
}

fn server_block(cx: &mut Cx<'_>) -> Result<(), Error> {
    let frame = cx.frame.enter_server();
    cx.main::<Servers>().list.push(frame.clone());
    cx.read_block(Context::SERVER, &frame)
}

/// The scopes are where nested locations look for their parent.
fn parent_of(scope: &Rc<Scope>) -> Option<(Vec<u8>, Match)> {
    scope.get::<BlockContent>().own.clone()
}

fn location_block(cx: &mut Cx<'_>) -> Result<(), Error> {
    let (name, kind) = location_name(cx)?;
    if let Some((outer, outer_kind)) = parent_of(&cx.frame.location) {
        check_nesting(cx, &name, &kind, &outer, &outer_kind)?;
    }
    if !cx.frame.location.get::<BlockContent>().is_new(&name, &kind) {
        let message = format!("duplicate location \"{}\"", display_name(&name, &kind));
        if !matches!(kind, Match::Named) {
            return Err(cx.error(message));
        }
        // Two of one name load in nginx, which never enters the second.
        cx.warn(format!("{message}, the first one answers"));
    }
    let frame = cx.frame.enter_location();
    frame.location.get::<BlockContent>().own = Some((name.clone(), kind.clone()));
    cx.frame.location.get::<BlockContent>().children.push(ChildNode { name, kind, frame: frame.clone() });
    cx.read_block(Context::LOCATION, &frame)
}

fn display_name(name: &[u8], kind: &Match) -> String {
    let text = String::from_utf8_lossy(name);
    if matches!(kind, Match::Named) { format!("@{text}") } else { text.into_owned() }
}

fn location_name(cx: &Cx<'_>) -> Result<(Vec<u8>, Match), Error> {
    let regex = |caseless: bool, pattern: &[u8]| -> Result<(Vec<u8>, Match), Error> {
        let regex = Regex::new(pattern, caseless, &mut cx.global::<Variables>()).map_err(|e| cx.error(e))?;
        Ok((pattern.to_vec(), Match::Regex(Rc::new(regex))))
    };
    if cx.args().len() == 2 {
        let name = cx.arg(1);
        return match cx.arg(0) {
            b"=" => Ok((name.to_vec(), Match::Exact)),
            b"^~" => Ok((name.to_vec(), Match::PrefixNoRegex)),
            b"~" => regex(false, name),
            b"~*" => regex(true, name),
            _ => Err(cx.error_at(0, format!("invalid location modifier \"{}\"", cx.text(0)))),
        };
    }
    let name = cx.arg(0);
    match name {
        [b'=', rest @ ..] => Ok((rest.to_vec(), Match::Exact)),
        [b'^', b'~', rest @ ..] => Ok((rest.to_vec(), Match::PrefixNoRegex)),
        [b'~', b'*', rest @ ..] => regex(true, rest),
        [b'~', rest @ ..] => regex(false, rest),
        [b'@', rest @ ..] => Ok((rest.to_vec(), Match::Named)),
        _ => Ok((name.to_vec(), Match::Prefix)),
    }
}

fn check_nesting(cx: &Cx<'_>, name: &[u8], kind: &Match, outer: &[u8], outer_kind: &Match) -> Result<(), Error> {
    let text = display_name(name, kind);
    match outer_kind {
        Match::Exact => {
            let outer = String::from_utf8_lossy(outer);
            return Err(cx.error(format!("location \"{text}\" cannot be inside the exact location \"{outer}\"")));
        }
        Match::Named => {
            let outer = String::from_utf8_lossy(outer);
            return Err(cx.error(format!("location \"{text}\" cannot be inside the named location \"@{outer}\"")));
        }
        _ => {}
    }
    match kind {
        Match::Named => Err(cx.error(format!("named location \"{text}\" can be on the server level only"))),
        Match::Regex(_) => Ok(()),
        _ if name.starts_with(outer) => Ok(()),
        _ => {
            let outer = String::from_utf8_lossy(outer);
            Err(cx.error(format!("location \"{text}\" is outside location \"{outer}\"")))
        }
    }
}

fn limit_except(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.frame.location.get::<BlockContent>().limit_except.is_some() {
        return Err(cx.duplicate());
    }
    let mut methods = Method::NONE;
    for (i, word) in cx.args().iter().enumerate() {
        let upper = word.bytes.to_ascii_uppercase();
        let method = Method::from_name(&upper);
        if method == Method::UNKNOWN {
            return Err(cx.error_at(i, format!("invalid method \"{}\"", cx.text(i))));
        }
        methods = methods.or(method);
        if method == Method::GET {
            methods = methods.or(Method::HEAD);
        }
    }
    let frame = cx.frame.enter_location();
    let own = cx.frame.location.get::<BlockContent>().own.clone();
    frame.location.get::<BlockContent>().own = own;
    cx.frame.location.get::<BlockContent>().limit_except = Some((methods, frame.clone()));
    cx.read_block(Context::LIMIT_EXCEPT, &frame)
}
