//! Values on their way from one machine to another.

use lua::{Stack, Type};

/// How deep tables may be nested.
const DEPTH: usize = 100;

/// A value without ties to a machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Parcel {
    /// `nil`
    Nil,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    Bytes(Vec<u8>),
    /// `ngx.null` and its like.
    Light(usize),
    /// A table's keys and values.
    Table(Vec<(Parcel, Parcel)>),
}

impl Parcel {
    /// Packs the value at `index`.
    ///
    /// # Errors
    /// What kind of value cannot cross.
    pub fn pack(stack: &mut Stack<'_>, index: usize) -> Result<Parcel, &'static str> {
        match stack.kind(index) {
            Type::Nil | Type::None => Ok(Parcel::Nil),
            _ => pack_part(stack, index, 1),
        }
    }

    /// Pushes the value; false if there is no room for it.
    #[must_use]
    pub fn unpack(&self, stack: &mut Stack<'_>) -> bool {
        if !stack.reserve(6) {
            return false;
        }
        match self {
            Parcel::Nil => stack.push_nil(),
            Parcel::Bool(value) => stack.push_bool(*value),
            Parcel::Number(value) => stack.push_number(*value),
            Parcel::Bytes(value) => stack.push_bytes(value),
            Parcel::Light(address) => stack.push_light(*address),
            Parcel::Table(pairs) => {
                stack.push_table(0, pairs.len());
                let table = stack.top();
                for (key, value) in pairs {
                    if !key.unpack(stack) || !value.unpack(stack) {
                        return false;
                    }
                    stack.set_pair(table);
                }
            }
        }
        true
    }
}

fn pack_part(stack: &mut Stack<'_>, index: usize, depth: usize) -> Result<Parcel, &'static str> {
    Ok(match stack.kind(index) {
        Type::Boolean => Parcel::Bool(stack.truthy(index)),
        Type::Number => Parcel::Number(stack.number(index).unwrap_or(0.0)),
        Type::String => Parcel::Bytes(stack.bytes(index).unwrap_or_default().to_vec()),
        Type::LightUserdata => Parcel::Light(stack.light(index).unwrap_or(0)),
        Type::Table => Parcel::Table(pack_table(stack, index, depth)?),
        Type::Nil | Type::None => return Err("unsupported Lua type: LUA_TNIL"),
        Type::Function => return Err("unsupported Lua type: LUA_TFUNCTION"),
        Type::Userdata => return Err("unsupported Lua type: LUA_TUSERDATA"),
        Type::Thread => return Err("unsupported Lua type: LUA_TTHREAD"),
        Type::Cdata => return Err("unsupported Lua type"),
    })
}

fn pack_table(stack: &mut Stack<'_>, index: usize, depth: usize) -> Result<Vec<(Parcel, Parcel)>, &'static str> {
    if depth >= DEPTH {
        return Err("suspicious circular references, table depth exceed max depth: 100");
    }
    let mut pairs = Vec::new();
    let mut refusal = None;
    let walked = stack.each(index, |stack, key, value| {
        let pair = pack_part(stack, key, depth + 1).and_then(|key| Ok((key, pack_part(stack, value, depth + 1)?)));
        match pair {
            Ok(pair) => {
                pairs.push(pair);
                Ok(())
            }
            Err(reason) => {
                refusal = Some(reason);
                Err(reason.into())
            }
        }
    });
    match (walked, refusal) {
        (Ok(()), _) => Ok(pairs),
        (Err(_), reason) => Err(reason.unwrap_or("no memory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lua::{Options, Phase, Vm};

    fn sent(expression: &str) -> Result<Parcel, &'static str> {
        let vm = Vm::new(&Options::default()).expect("a machine");
        let chunk = vm.load_text(format!("return {expression}").as_bytes(), "=test").expect("it compiles");
        vm.run_now(chunk, Phase::INIT, None, |_| 0, |stack| Parcel::pack(stack, 1)).expect("it runs")
    }

    #[test]
    fn plain_values_cross() {
        assert_eq!(sent("nil"), Ok(Parcel::Nil));
        assert_eq!(sent("1.5"), Ok(Parcel::Number(1.5)));
        let list = vec![(Parcel::Number(1.0), Parcel::Bool(true)), (Parcel::Bytes(b"k".to_vec()), Parcel::Bytes(b"v".to_vec()))];
        assert_eq!(sent("{true, k = 'v'}"), Ok(Parcel::Table(list)));
    }

    #[test]
    fn others_do_not() {
        assert_eq!(sent("print"), Err("unsupported Lua type: LUA_TFUNCTION"));
        assert_eq!(sent("{{coroutine.create(print)}}"), Err("unsupported Lua type: LUA_TTHREAD"));
        let deep = "suspicious circular references, table depth exceed max depth: 100";
        assert_eq!(sent("(function() local t = {} t[1] = t return t end)()"), Err(deep));
    }

    #[test]
    fn tables_arrive() {
        let vm = Vm::new(&Options::default()).expect("a machine");
        let chunk = vm.load_text(b"local t = ... return t.k .. t[1][2.5] .. tostring(t[true])", "=test").expect("it compiles");
        let inner = Parcel::Table(vec![(Parcel::Number(2.5), Parcel::Bytes(b"y".to_vec()))]);
        let pairs = [(Parcel::Bytes(b"k".to_vec()), Parcel::Bytes(b"x".to_vec())), (Parcel::Number(1.0), inner)];
        let parcel = Parcel::Table(pairs.into_iter().chain([(Parcel::Bool(true), Parcel::Bool(false))]).collect());
        let push = |stack: &mut Stack<'_>| usize::from(parcel.unpack(stack));
        let text = vm.run_now(chunk, Phase::INIT, None, push, |stack| stack.bytes(1).map(<[u8]>::to_vec)).expect("it runs");
        assert_eq!(text.as_deref(), Some(b"xyfalse".as_slice()));
    }
}
