//! Which browsers are modern and which are ancient: `$modern_browser`, `$ancient_browser` and `$msie` (nginx manual,
//! `ngx_http_browser_module`).

use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::variables::getter;
use http::{Levels, Module, Request, Variables};
use memchr::memmem::find;
use session::variable::CHANGEABLE;
use std::rc::Rc;

/// `modern_browser` and its companions.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Browsers>, variables, ..Module::named("browser") };

const HERE: Context = Context::HTTP.union(Context::SERVER).union(Context::LOCATION);

/// How a browser shows in `User-Agent`.
struct Family {
    name: &'static str,
    /// So many bytes stand before the mark at least.
    skip: usize,
    mark: &'static [u8],
    /// Where its version begins, from the mark on.
    version: usize,
}

/// In the order in which they are looked for: Opera calls itself others too.
const FAMILIES: [Family; 5] = [
    Family { name: "opera", skip: 0, mark: b"Opera", version: 6 },
    Family { name: "msie", skip: 25, mark: b"MSIE ", version: 5 },
    Family { name: "gecko", skip: 13, mark: b"rv:", version: 3 },
    Family { name: "safari", skip: 13, mark: b"Safari/", version: 7 },
    Family { name: "konqueror", skip: 25, mark: b"Konqueror/", version: 10 },
];

/// What a browser is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Modern,
    Ancient,
}

#[derive(Default)]
struct Browsers {
    /// Places in [`FAMILIES`], in their order, with the first modern version.
    modern: Vec<(usize, u64)>,
    unlisted: bool,
    ancient: Vec<Box<[u8]>>,
    netscape4: bool,
    modern_value: Option<Rc<[u8]>>,
    ancient_value: Option<Rc<[u8]>>,
}

impl Config for Browsers {
    fn inherit(&mut self, parent: &Self) {
        if self.modern.is_empty() && !self.unlisted {
            self.modern.clone_from(&parent.modern);
            self.unlisted = parent.unlisted;
        }
        if self.ancient.is_empty() && !self.netscape4 {
            self.ancient.clone_from(&parent.ancient);
            self.netscape4 = parent.netscape4;
        }
        self.modern_value = self.modern_value.take().or_else(|| parent.modern_value.clone());
        self.ancient_value = self.ancient_value.take().or_else(|| parent.ancient_value.clone());
    }
}

fn rows() -> Vec<Row> {
    vec![
        Row::new("modern_browser", HERE, Arity::Between(1, 2), "From which version on a browser is modern.", modern),
        Row::new("ancient_browser", HERE, Arity::AtLeast(1), "Texts by which ancient browsers are known.", ancient),
        Row::new("modern_browser_value", HERE, Arity::exactly(1), "What $modern_browser says of one.", |cx| {
            cx.location::<Browsers>().modern_value = Some(cx.arg(0).into());
            Ok(())
        }),
        Row::new("ancient_browser_value", HERE, Arity::exactly(1), "What $ancient_browser says of one.", |cx| {
            cx.location::<Browsers>().ancient_value = Some(cx.arg(0).into());
            Ok(())
        }),
    ]
}

fn variables(variables: &mut Variables) {
    let value_of_age = |age: Age, own: fn(&Browsers) -> &Option<Rc<[u8]>>| {
        getter(move |request: &Request, out: &mut Vec<u8>| {
            let browsers = request.conf::<Browsers>();
            if browsers.age(request.headers.borrow().get(b"user-agent")) == age {
                out.extend_from_slice(own(&browsers).as_deref().unwrap_or(b"1"));
            }
            true
        })
    };
    variables.define("modern_browser", CHANGEABLE, value_of_age(Age::Modern, |own| &own.modern_value));
    variables.define("ancient_browser", CHANGEABLE, value_of_age(Age::Ancient, |own| &own.ancient_value));
    let msie = getter(|request, out| {
        if request.headers.borrow().get(b"user-agent").is_some_and(is_msie) {
            out.push(b'1');
        }
        true
    });
    variables.define("msie", CHANGEABLE, msie);
}

fn modern(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut own = cx.location::<Browsers>();
    if cx.args().len() == 1 {
        if cx.arg(0) != b"unlisted" {
            return Err(cx.invalid_parameter(0));
        }
        own.unlisted = true;
        return Ok(());
    }
    let named = |family: &Family| cx.arg(0).eq_ignore_ascii_case(family.name.as_bytes());
    let place = FAMILIES.iter().position(named).ok_or_else(|| cx.error_at(0, format!("unknown browser name \"{}\"", cx.text(0))))?;
    let (version, rest) = version(cx.arg(1));
    if !rest.is_empty() {
        return Err(cx.error_at(1, format!("invalid browser version \"{}\"", cx.text(1))));
    }
    if own.modern.is_empty() {
        // An Opera that is not listed is not taken for what else it calls itself: no version of it is modern.
        own.modern.push((0, u64::MAX));
    }
    own.modern.retain(|listed| *listed != (0, u64::MAX) || place != 0);
    own.modern.push((place, version));
    own.modern.sort_by_key(|(place, _)| *place);
    Ok(())
}

fn ancient(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut own = cx.location::<Browsers>();
    for word in 0..cx.args().len() {
        match cx.arg(word) {
            b"netscape4" => own.netscape4 = true,
            text => own.ancient.push(text.into()),
        }
    }
    Ok(())
}

/// The version that a text begins with, of up to four parts, as one number; and what follows it.
fn version(text: &[u8]) -> (u64, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let part = |part: &[u8]| base::text::parse_number(part).unwrap_or(if part.is_empty() { 0 } else { u64::MAX });
    let scales = [1_000_000, 10_000, 100, 1];
    let parts = digits.split(|byte| *byte == b'.').map(part).zip(scales);
    (parts.fold(0_u64, |sum, (part, scale)| sum.saturating_add(part.saturating_mul(scale))), rest)
}

impl Browsers {
    fn age(&self, agent: Option<&[u8]>) -> Age {
        let unlisted = if self.unlisted { Age::Modern } else { Age::Ancient };
        let Some(agent) = agent else { return unlisted };
        if let Some((first, own)) = self.modern.iter().find_map(|(place, first)| Some((*first, version_of(agent, FAMILIES.get(*place)?)?)))
        {
            return if own >= first { Age::Modern } else { Age::Ancient };
        }
        if !self.modern.is_empty() && !self.unlisted {
            return Age::Ancient;
        }
        let is_netscape4 =
            || agent.len() > "Mozilla/4.72 ".len() && matches!(agent, [b'M', b'o', b'z', b'i', b'l', b'l', b'a', b'/', b'1'..=b'4', ..]);
        if (self.netscape4 && is_netscape4()) || self.ancient.iter().any(|text| find(agent, text).is_some()) {
            return Age::Ancient;
        }
        unlisted
    }
}

/// The version of a browser of this family; `None`: it is none.
fn version_of(agent: &[u8], family: &Family) -> Option<u64> {
    let rest = agent.get(family.skip..).filter(|rest| !rest.is_empty())?;
    let at = find(rest, family.mark)? + family.version;
    Some(version(rest.get(at..).filter(|rest| !rest.is_empty())?).0)
}

/// Whether this is Microsoft's browser, or one that only says so.
fn is_msie(agent: &[u8]) -> bool {
    const SHORTEST: usize = "MSIE 6.0".len();
    find(agent, b"MSIE ").is_some_and(|at| at + SHORTEST <= agent.len()) && find(agent, b"Opera").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(modern: &[(usize, u64)]) -> Browsers {
        Browsers { modern: modern.to_vec(), ..Browsers::default() }
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version(b"1.8.0.5) Gecko"), (1_080_005, &b") Gecko"[..]));
        assert_eq!(version(b"7.50 (X11"), (7_500_000, &b" (X11"[..]));
        assert_eq!(version(b"419.3"), (419_030_000, &b""[..]));
        assert_eq!(version(b"1.2.3.4.5").0, 1_020_304);
        assert_eq!(version(b"99999999999999999999999").0, u64::MAX);
        assert_eq!(version(b"").0, 0);
    }

    #[test]
    fn the_first_family_that_shows_decides() {
        let browsers = listed(&[(0, u64::MAX), (1, 5_500_000), (2, 1_000_000)]);
        let age = |agent: &str| browsers.age(Some(agent.as_bytes()));
        assert_eq!(age("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"), Age::Modern);
        assert_eq!(age("Mozilla/4.0 (compatible; MSIE 5.01; Windows NT 5.1)"), Age::Ancient);
        assert_eq!(age("Mozilla/4.0 (compatible; MSIE 6.0; X11; FreeBSD i386) Opera 7.50  [en]"), Age::Ancient);
        assert_eq!(age("Mozilla/5.0 (X11; U; Linux i686; en-US; rv:1.0.0) Gecko/20020610"), Age::Modern);
        assert_eq!(age("Lynx/2.8"), Age::Ancient);
        assert_eq!(browsers.age(None), Age::Ancient);
        let mut unlisted = listed(&[]);
        unlisted.unlisted = true;
        unlisted.ancient = vec![b"Links".as_slice().into()];
        assert_eq!(unlisted.age(None), Age::Modern);
        assert_eq!(unlisted.age(Some(b"Lynx/2.8")), Age::Modern);
        assert_eq!(unlisted.age(Some(b"Links (2.8)")), Age::Ancient);
        unlisted.netscape4 = true;
        assert_eq!(unlisted.age(Some(b"Mozilla/4.72 [en] (X11)")), Age::Ancient);
        assert_eq!(unlisted.age(Some(b"Mozilla/5.0 (X11; U; Li")), Age::Modern);
    }

    #[test]
    fn who_only_says_so_is_not() {
        assert!(is_msie(b"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"));
        assert!(!is_msie(b"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0; en) Opera 8.0"));
        assert!(!is_msie(b"MSIE 6"));
    }
}
