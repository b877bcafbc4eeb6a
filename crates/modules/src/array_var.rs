//! Variables that hold lists: `array_split`, `array_map`, `array_map_op`, `array_join` (array-var-nginx-module's README).
//!
//! A list is the variable's value: a mark, then the length of each element before its bytes. So it is copied and inherited as any
//! value, and text that is no list is told apart.

use crate::compile::complex;
use crate::set_misc::{HERE, apply, fail, target_of};
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::program::{Flow, Program};
use http::set_function::CallError;
use http::set_function::SetFunctions;
use http::{Complex, Levels, Module, Request, Variables};
use session::variable::{self, VarIndex};
use std::rc::Rc;

/// Lists in variables.
pub const MODULE: Module = Module { rows, levels, ..Module::named("array_var") };

/// What a list begins with.
const MARK: &[u8] = b"\0array\0";

/// The variable that holds an element while it is mapped.
const ELEMENT: &str = "array_it";

fn levels(levels: &mut Levels) {
    levels.main::<SetFunctions>();
}

fn rows() -> Vec<Row> {
    vec![
        Row::new("array_split", HERE, Arity::Between(2, 4), "Splits a text into a list.", split_row),
        Row::new("array_map", HERE, Arity::Between(2, 3), "Makes each element of a list anew from a template.", map_row),
        Row::new("array_map_op", HERE, Arity::Between(2, 3), "Applies a function to each element of a list.", map_op_row),
        Row::new("array_join", HERE, Arity::Between(2, 3), "Joins a list into a text.", join_row),
    ]
}

/// Appends an element to a list.
fn push(list: &mut Vec<u8>, element: &[u8]) {
    if list.is_empty() {
        list.extend_from_slice(MARK);
    }
    list.extend_from_slice(&(element.len() as u64).to_le_bytes());
    list.extend_from_slice(element);
}

/// A list of these elements.
pub(crate) fn list_of<'a>(elements: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut list = MARK.to_vec();
    elements.into_iter().for_each(|element| push(&mut list, element));
    list
}

/// The elements of a list; `None`: it is none. Nothing is a list without elements.
fn elements(list: &[u8]) -> Option<Vec<&[u8]>> {
    if list.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = list.strip_prefix(MARK)?;
    let mut found = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<8>() {
        let (element, behind) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        found.push(element);
        rest = behind;
    }
    rest.is_empty().then_some(found)
}

/// The variable behind `to=` in argument `i`.
fn option_to(cx: &Cx<'_>, i: usize) -> Option<Result<VarIndex, Error>> {
    Some(target_of(cx, i, cx.arg(i).strip_prefix(b"to=")?))
}

fn unexpected(cx: &Cx<'_>, i: usize) -> Error {
    cx.error_at(i, format!("{}: unexpected argument \"{}\"", cx.name(), cx.text(i)))
}

fn expecting_to(cx: &Cx<'_>, i: usize) -> Error {
    let place = if i == 2 { "3rd" } else { "4th" };
    cx.error_at(i, format!("{}: expecting the \"to\" option at the {place} argument: \"{}\"", cx.name(), cx.text(i)))
}

/// Where the result goes: to the second argument itself, or to the variable of `to=` behind it.
fn in_place_or_to(cx: &Cx<'_>, otherwise: fn(&Cx<'_>, usize) -> Error) -> Result<VarIndex, Error> {
    match cx.args().len() {
        2 => target_of(cx, 1, cx.arg(1)),
        _ => option_to(cx, 2).unwrap_or_else(|| Err(otherwise(cx, 2))),
    }
}

/// Appends an operation that assigns what `make` gives; its error ends the request.
fn push_op(cx: &Cx<'_>, target: VarIndex, make: impl Fn(&Rc<Request>) -> Result<Vec<u8>, CallError> + 'static) {
    cx.location::<Program>().push(move |request, _| match make(request) {
        Ok(value) => {
            variable::assign(&**request, target, &value);
            Flow::Next
        }
        Err(error) => fail(request, &error),
    });
}

/// `array_split SEPARATOR TEXT [MOST] to=$LIST`, or `array_split SEPARATOR $TEXT [MOST]`, which takes the text's place.
fn split_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let count = cx.args().len();
    let (target, most) = match (count, option_to(cx, 2)) {
        (2, _) => (target_of(cx, 1, cx.arg(1))?, None),
        (3, Some(target)) => (target?, None),
        (3, None) => (target_of(cx, 1, cx.arg(1))?, Some(complex(cx, 2)?)),
        (_, Some(_)) => return Err(unexpected(cx, 3)),
        (_, None) => (option_to(cx, 3).unwrap_or_else(|| Err(expecting_to(cx, 3)))?, Some(complex(cx, 2)?)),
    };
    let (separator, text) = (complex(cx, 0)?, complex(cx, 1)?);
    push_op(cx, target, move |request| {
        let most = match most.as_ref().map(|most| most.to_vec(&**request)) {
            None => 0,
            Some(most) => base::text::parse_number(&most)
                .and_then(|most| usize::try_from(most).ok())
                .ok_or_else(|| format!("array_split: invalid max items: \"{}\"", String::from_utf8_lossy(&most)))?,
        };
        Ok(split(&separator.to_vec(&**request), &text.to_vec(&**request), most))
    });
    Ok(())
}

/// At most `most` elements, if it is not 0; an empty separator stands between any two bytes.
fn split(separator: &[u8], text: &[u8], most: usize) -> Vec<u8> {
    let (mut list, mut rest, mut count) = (Vec::new(), text, 1);
    while most == 0 || count < most {
        let found = match separator {
            [] if rest.len() > 1 => rest.split_at_checked(1),
            [] => None,
            _ => memchr::memmem::find(rest, separator).and_then(|at| Some((rest.get(..at)?, rest.get(at + separator.len()..)?))),
        };
        let Some((element, behind)) = found else { break };
        push(&mut list, element);
        (rest, count) = (behind, count + 1);
    }
    push(&mut list, rest);
    list
}

/// `array_map TEMPLATE $LIST [to=$NEW]`.
fn map_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let not_found = http::variables::getter(|_, _| false);
    let element = cx.global::<Variables>().add(ELEMENT, Some(not_found), 0).map_err(|message| cx.error(message))?;
    let target = in_place_or_to(cx, expecting_to)?;
    let (template, list) = (complex(cx, 0)?, complex(cx, 1)?);
    push_op(cx, target, move |request| {
        let mapped = map(&list, request, "array_map", |old, new| {
            variable::assign(&**request, element, old);
            template.eval(&**request, new);
            Ok(())
        });
        session::Session::cache(&**request).unset(element);
        mapped
    });
    Ok(())
}

/// `array_map_op DIRECTIVE $LIST [to=$NEW]`.
fn map_op_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let target = in_place_or_to(cx, unexpected)?;
    let (name, list) = (complex(cx, 0)?, complex(cx, 1)?);
    push_op(cx, target, move |request| {
        let name = name.to_vec(&**request);
        let function = request.http.main.get::<SetFunctions>().and_then(|functions| functions.find(&name)).ok_or_else(|| {
            let name = String::from_utf8_lossy(&name);
            format!("array_map_op: directive \"{name}\" not found or does not use ndk_set_var_value")
        })?;
        map(&list, request, "array_map_op", |old, new| apply(function, request, old, new))
    });
    Ok(())
}

/// `array_join SEPARATOR $LIST [to=$TEXT]`.
fn join_row(cx: &mut Cx<'_>) -> Result<(), Error> {
    let target = in_place_or_to(cx, unexpected)?;
    let (separator, list) = (complex(cx, 0)?, complex(cx, 1)?);
    push_op(cx, target, move |request| {
        let list = list.to_vec(&**request);
        let elements = elements(&list).ok_or_else(|| no_list("array_join", &list))?;
        Ok(elements.join(&*separator.to_vec(&**request)))
    });
    Ok(())
}

/// The list of what `f` makes of each element.
fn map(
    list: &Complex,
    request: &Rc<Request>,
    name: &str,
    f: impl Fn(&[u8], &mut Vec<u8>) -> Result<(), CallError>,
) -> Result<Vec<u8>, CallError> {
    let list = list.to_vec(&**request);
    let (mut mapped, mut element) = (MARK.to_vec(), Vec::new());
    for old in elements(&list).ok_or_else(|| no_list(name, &list))? {
        element.clear();
        f(old, &mut element)?;
        push(&mut mapped, &element);
    }
    Ok(mapped)
}

fn no_list(name: &str, value: &[u8]) -> String {
    format!("{name}: invalid array variable value in the 2nd argument: \"{}\"", String::from_utf8_lossy(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_lists() {
        let cases: [(&str, &str, usize, &[&str]); 9] = [
            (",", "a,b,,c", 0, &["a", "b", "", "c"]),
            (",", "", 0, &[""]),
            (",", ",", 0, &["", ""]),
            (",", "a,b,c", 2, &["a", "b,c"]),
            (",", "a,b,c", 1, &["a,b,c"]),
            ("", "abc", 0, &["a", "b", "c"]),
            ("", "abc", 2, &["a", "bc"]),
            ("", "", 0, &[""]),
            ("<>", "a<>b<c", 9, &["a", "b<c"]),
        ];
        for (separator, text, most, expected) in cases {
            let list = split(separator.as_bytes(), text.as_bytes(), most);
            let expected: Vec<&[u8]> = expected.iter().map(|element| element.as_bytes()).collect();
            assert_eq!(elements(&list), Some(expected), "{separator:?} {text:?} {most}");
        }
        assert_eq!(elements(&list_of([])), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_list_is_told_apart() {
        let list = list_of([&b"ab"[..], b"c"]);
        for cut in 0..list.len() {
            let whole = [0, MARK.len(), MARK.len() + 10].contains(&cut);
            assert_eq!(elements(&list[..cut]).is_some(), whole, "{cut}");
        }
        let mut huge = MARK.to_vec();
        huge.extend_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(elements(&huge), None);
        assert_eq!(elements(b"a,b"), None);
    }
}
