//! `error_page`, `recursive_error_pages`, and `post_action`.

use super::slots::{compile, reject_duplicate};
use base::text::parse_number;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::tree::Error;
use http::Complex;
use http::core::{Core, ErrorPage};
use std::rc::Rc;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("error_page", Context::HTTP_IF, Arity::AtLeast(2), "What is served in place of an error.", error_page),
        Row::new("no_error_pages", Context::HTTP_IF, Arity::exactly(0), "Forgets the error pages of outer levels.", |cx| {
            reject_duplicate(cx)?;
            if cx.location::<Core>().error_pages.is_some() {
                return Err(cx.error("conflicts with \"error_page\""));
            }
            cx.location::<Core>().error_pages = Some(Rc::default());
            Ok(())
        }),
        Row::new("post_action", Context::HTTP_IF, Arity::exactly(1), "Where a request goes on when its response is over.", |cx| {
            cx.once(&mut cx.location::<Core>().post_action, cx.arg(0).into())
        }),
        row::flag("recursive_error_pages", Context::HTTP_ALL, "Error pages may have error pages.", |core: &mut Core| {
            &mut core.recursive_error_pages
        }),
    ]
}

fn error_page(cx: &mut Cx<'_>) -> Result<(), Error> {
    let last = cx.args().len().saturating_sub(1);
    let mut codes = last;
    let mut overwrite = None;
    let invalid = |i: usize| cx.error_at(i, format!("invalid value \"{}\"", cx.text(i)));
    if let Some((b'=', code)) = cx.arg(last - 1).split_first() {
        codes = last - 1;
        if codes == 0 {
            return Err(invalid(0));
        }
        let code = if code.is_empty() { Some(0) } else { parse_number(code) };
        overwrite = Some(code.and_then(|n| u16::try_from(n).ok()).ok_or_else(|| invalid(codes))?);
    }
    let (target, args) = target(cx, last)?;
    let mut pages = cx.location::<Core>().error_pages.as_deref().cloned().unwrap_or_default();
    for i in 0..codes {
        let status = parse_number(cx.arg(i)).filter(|n| *n != 499).ok_or_else(|| invalid(i))?;
        let allowed = u16::try_from(status).ok().filter(|n| (300..=599).contains(n));
        let status = allowed.ok_or_else(|| cx.error_at(i, format!("value \"{}\" must be between 300 and 599", cx.text(i))))?;
        // The server's own codes for refused requests must not reach a client.
        let overwrite = overwrite.or(matches!(status, 494..=497).then_some(400));
        pages.push(ErrorPage { status, overwrite, target: target.clone(), args: args.clone() });
    }
    cx.location::<Core>().error_pages = Some(Rc::new(pages));
    Ok(())
}

/// The target, with the arguments of a literal URI apart.
fn target(cx: &Cx<'_>, i: usize) -> Result<(Complex, Option<Complex>), Error> {
    let whole = compile(cx, i, cx.arg(i))?;
    let Some(text) = whole.literal().filter(|text| text.first() == Some(&b'/')) else { return Ok((whole, None)) };
    match text.iter().position(|byte| *byte == b'?') {
        Some(mark) => {
            let (path, args) = text.split_at(mark);
            Ok((Complex::from_literal(path), Some(Complex::from_literal(args.get(1..).unwrap_or_default()))))
        }
        None => Ok((whole, None)),
    }
}
