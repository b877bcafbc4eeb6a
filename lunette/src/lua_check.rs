//! `-t` compiles the Lua code of a configuration. A server starts with code that does not compile, as nginx with its Lua
//! module does: then each request that needs it fails.

use conf::tree::{Block, Directive, Error, Span, Word};
use lua::{Options, Vm};

/// What is wrong with the code in `block`, in order.
pub(crate) fn faults(block: &Block) -> Vec<Error> {
    let mut found = Vec::new();
    let mut machine = None;
    check(block, &mut machine, &mut found);
    found
}

fn check(block: &Block, machine: &mut Option<Vm>, found: &mut Vec<Error>) {
    for directive in &block.directives {
        if let Some(body) = &directive.body {
            check(body, machine, found);
        }
        let Some(code) = code(directive) else { continue };
        if machine.is_none() {
            // Without memory for a machine there is nothing to find out.
            *machine = Vm::new(&Options::default()).ok();
        }
        let Some(machine) = machine else { return };
        found.extend(fault(machine, directive, code));
    }
}

/// The inline code of a directive: a block, or the argument of the spelling with a string.
fn code(directive: &Directive) -> Option<&Word> {
    if directive.lua {
        return directive.args.last();
    }
    let name = directive.name.bytes.as_slice();
    match name.ends_with(b"_by_lua") {
        true if name == b"set_by_lua" => directive.args.get(1),
        true => directive.args.first(),
        false => None,
    }
}

fn fault(machine: &Vm, directive: &Directive, code: &Word) -> Option<Error> {
    let name = directive.name.text();
    let name = name.strip_suffix("_block").unwrap_or(&name);
    let error = machine.load_text(&code.bytes, &format!("={name}")).err()?;
    let text = String::from_utf8_lossy(&error.message).into_owned();
    // Lua counts lines from the start of the code.
    let (line, reason) = text.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')?.split_once(": ")).unwrap_or(("1", &text));
    let line = line.parse::<u32>().unwrap_or(1).saturating_sub(1);
    let mut place = Span { line: code.span.line.saturating_add(line), ..code.span };
    if line > 0 {
        place.column = 1;
    }
    Some(Error::new(format!("failed to load inlined Lua code of \"{}\": {reason}", directive.name.text()), place))
}
