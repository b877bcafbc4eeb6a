//! Values in transfer from one VM to another.

use lua::{Stack, Type};

/// How deep tables may be nested.
const DEPTH: usize = 100;

/// A value without ties to a machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PlainValue {
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
    Table(Vec<(PlainValue, PlainValue)>),
}

impl PlainValue {
    /// Packs the value at `index`.
    ///
    /// # Errors
    /// What kind of value cannot cross.
    pub(crate) fn pack(stack: &mut Stack<'_>, index: usize) -> Result<PlainValue, &'static str> {
        match stack.kind(index) {
            Type::Nil | Type::None => Ok(PlainValue::Nil),
            _ => pack_part(stack, index, 1),
        }
    }

    /// Pushes the value; false if there is no room for it.
    #[must_use]
    pub(crate) fn unpack(&self, stack: &mut Stack<'_>) -> bool {
        if !stack.reserve(6) {
            return false;
        }
        match self {
            PlainValue::Nil => stack.push_nil(),
            PlainValue::Bool(value) => stack.push_bool(*value),
            PlainValue::Number(value) => stack.push_number(*value),
            PlainValue::Bytes(value) => stack.push_bytes(value),
            PlainValue::Light(address) => stack.push_light(*address),
            PlainValue::Table(pairs) => {
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

fn pack_part(stack: &mut Stack<'_>, index: usize, depth: usize) -> Result<PlainValue, &'static str> {
    Ok(match stack.kind(index) {
        Type::Boolean => PlainValue::Bool(stack.truthy(index)),
        Type::Number => PlainValue::Number(stack.number(index).unwrap_or(0.0)),
        Type::String => PlainValue::Bytes(stack.bytes(index).unwrap_or_default().to_vec()),
        Type::LightUserdata => PlainValue::Light(stack.light(index).unwrap_or(0)),
        Type::Table => PlainValue::Table(pack_table(stack, index, depth)?),
        Type::Nil | Type::None => return Err("unsupported Lua type: LUA_TNIL"),
        Type::Function => return Err("unsupported Lua type: LUA_TFUNCTION"),
        Type::Userdata => return Err("unsupported Lua type: LUA_TUSERDATA"),
        Type::Thread => return Err("unsupported Lua type: LUA_TTHREAD"),
        Type::Cdata => return Err("unsupported Lua type"),
    })
}

fn pack_table(stack: &mut Stack<'_>, index: usize, depth: usize) -> Result<Vec<(PlainValue, PlainValue)>, &'static str> {
    if depth >= DEPTH {
        return Err("suspicious circular references, table depth exceed max depth: 100");
    }
    let mut pairs = Vec::new();
    let mut refusal = None;
    let walked = stack.for_each(index, |stack, key, value| {
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
    use lua::{LuaPhase, Options, Vm};

    fn sent(expression: &str) -> Result<PlainValue, &'static str> {
        let vm = Vm::new(&Options::default()).expect("a machine");
        let chunk = vm.load_text(format!("return {expression}").as_bytes(), "=test").expect("it compiles");
        vm.run_now(chunk, LuaPhase::INIT, None, |_| 0, |stack| PlainValue::pack(stack, 1)).expect("it runs")
    }

    #[test]
    fn plain_values_cross() {
        assert_eq!(sent("nil"), Ok(PlainValue::Nil));
        assert_eq!(sent("1.5"), Ok(PlainValue::Number(1.5)));
        let list =
            vec![(PlainValue::Number(1.0), PlainValue::Bool(true)), (PlainValue::Bytes(b"k".to_vec()), PlainValue::Bytes(b"v".to_vec()))];
        assert_eq!(sent("{true, k = 'v'}"), Ok(PlainValue::Table(list)));
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
        let inner = PlainValue::Table(vec![(PlainValue::Number(2.5), PlainValue::Bytes(b"y".to_vec()))]);
        let pairs = [(PlainValue::Bytes(b"k".to_vec()), PlainValue::Bytes(b"x".to_vec())), (PlainValue::Number(1.0), inner)];
        let plain_value = PlainValue::Table(pairs.into_iter().chain([(PlainValue::Bool(true), PlainValue::Bool(false))]).collect());
        let push = |stack: &mut Stack<'_>| usize::from(plain_value.unpack(stack));
        let text = vm.run_now(chunk, LuaPhase::INIT, None, push, |stack| stack.bytes(1).map(<[u8]>::to_vec)).expect("it runs");
        assert_eq!(text.as_deref(), Some(b"xyfalse".as_slice()));
    }
}
