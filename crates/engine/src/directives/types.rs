//! `types` and `default_type`.

use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Frame;
use conf::tree::{Directive, Error};
use http::core::{Core, Types};
use std::rc::Rc;

pub(super) fn rows() -> Vec<Row> {
    let all = Context::HTTP_ALL;
    vec![
        Row::new("types", all, Arity::exactly(0), "Content types by file name extension.", types).with_block(),
        Row::new("default_type", all, Arity::exactly(1), "Content type when the extension says nothing.", |cx| {
            cx.once(&mut cx.location::<Core>().default_type, Rc::from(cx.arg(0)))
        }),
    ]
}

/// nginx's types where no block says any.
const BUILT_IN: [(&[u8], &[u8]); 3] = [(b"html", b"text/html"), (b"gif", b"image/gif"), (b"jpg", b"image/jpeg")];

/// Gives `http { }` the built-in types if it has none of its own. Must run before locations inherit.
pub fn complete(http: &Frame) {
    let mut core = http.location.get::<Core>();
    if core.types.is_none() {
        core.types = Some(Rc::new(BUILT_IN.into_iter().map(|(extension, name)| (extension.into(), name.into())).collect()));
    }
}

fn types(cx: &mut Cx<'_>) -> Result<(), Error> {
    // Several blocks at one level add up.
    let given = cx.location::<Core>().types.clone();
    let mut all = given.map(|types| Types::clone(&types)).unwrap_or_default();
    let lines = cx.directive.body.as_ref().map_or(&[][..], |block| &block.directives);
    for line in lines {
        add(cx, line, &mut all)?;
    }
    cx.location::<Core>().types = Some(Rc::new(all));
    Ok(())
}

fn add(cx: &Cx<'_>, line: &Directive, all: &mut Types) -> Result<(), Error> {
    if line.body.is_some() {
        return Err(Error::on_directive("unexpected \"{\"", line));
    }
    let name: Rc<[u8]> = Rc::from(&*line.name.bytes);
    for extension in &line.args {
        let old = all.insert(extension.bytes.to_ascii_lowercase().into(), name.clone());
        if let Some(old) = old {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let message = format!(
                "duplicate extension \"{}\", content type: \"{}\", previous content type: \"{}\"",
                extension.text(),
                text(&name),
                text(&old)
            );
            cx.global::<conf::row::Warnings>().list.push(Error::on_directive(message, line));
        }
    }
    Ok(())
}
