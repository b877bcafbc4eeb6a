//! Both functions with their settings, in a machine without a request.

use crate::ngx::tests::evaluate;

fn run(code: &str) -> String {
    evaluate(&format!("(function() local cjson, safe = require 'cjson', require 'cjson.safe' {code} end)()"))
}

fn encoded(value: &str) -> String {
    run(&format!("return safe.encode({value})"))
}

#[test]
fn values() {
    assert_eq!(encoded("{1, 2.5, 'a\"/\\n\\1\\127', true, ngx.null, {}}"), "[1,2.5,\"a\\\"\\/\\n\\u0001\\u007f\",true,null,{}]");
    assert_eq!(encoded("{a = {b = {c = 1e15}}}"), "{\"a\":{\"b\":{\"c\":1e+15}}}");
    assert_eq!(encoded("{[1.5] = 1}"), "{\"1.5\":1}");
    assert_eq!(run("local t = cjson.decode(cjson.encode({'a', x = 2})) return t['1'], t[1], t.x"), "a nil 2");
    assert_eq!(encoded("{1, nil, 3}"), "[1,null,3]");
    assert_eq!(encoded("nil"), "null");
    assert_eq!(encoded("cjson.empty_array"), "[]");
    assert_eq!(encoded("{ setmetatable({}, cjson.empty_array_mt), setmetatable({ x = 1, 2 }, cjson.array_mt) }"), "[[],[2]]");
    assert_eq!(
        run("local t = cjson.decode('{\"a\":[1,{\"b\":null}],\"c\":\"x\"}') return t.a[2].b == ngx.null, t.a[1], t.c, #t.a"),
        "true 1 x 2"
    );
    assert_eq!(run("local t = cjson.decode('[[],{},[[1],2]]') return #t, #t[3], t[3][1][1], t[3][2]"), "3 2 1 2");
    assert_eq!(run("return cjson.decode('{\"a\":1,\"a\":2}').a, cjson.decode(12)"), "2 12");
}

/// Arrays are written while the walk finds out that they are ones.
#[test]
fn arrays_that_are_found_out() {
    assert_eq!(encoded("{1, 'a', true, ngx.null, {2, {}}, 3, {x = {4}}}"), "[1,\"a\",true,null,[2,{}],3,{\"x\":[4]}]");
    assert_eq!(encoded("{1, 2, nil, 4, {5}}"), "[1,2,null,4,[5]]");
    assert_eq!(encoded("{1, 2, x = 3}"), "{\"1\":1,\"2\":2,\"x\":3}");
    assert_eq!(encoded("{1, 2, ['3'] = 3}"), "{\"1\":1,\"2\":2,\"3\":3}");
    assert_eq!(encoded("{1, 2, [0] = 3}"), "{\"0\":3,\"1\":1,\"2\":2}");
    assert_eq!(encoded("{1, 2, [2.5] = 3}"), "{\"1\":1,\"2\":2,\"2.5\":3}");
    assert_eq!(encoded("{1, {2}, [-1] = 3}"), "{\"1\":1,\"2\":[2],\"-1\":3}");
    assert_eq!(encoded("{{1, x = {2, y = 3}}}"), "[{\"1\":1,\"x\":{\"1\":2,\"y\":3}}]");
    assert_eq!(encoded("{1, 2, [1000] = 3}"), "nil Cannot serialise table: excessively sparse array");
    assert_eq!(encoded("{1, 2, [3e9] = 3}"), "nil Cannot serialise table: excessively sparse array");
    // the array's shape is checked before its values are.
    assert_eq!(encoded("{1, print, [1000] = 3}"), "nil Cannot serialise table: excessively sparse array");
    assert_eq!(encoded("{1, 0/0, [1000] = 3}"), "nil Cannot serialise table: excessively sparse array");
    assert_eq!(encoded("{1, 0/0}"), "nil Cannot serialise number: must not be NaN or Infinity");
    assert_eq!(run("cjson.encode_sparse_array(true) return cjson.encode({{1, 2, [1000] = 3}})"), "[{\"1\":1,\"2\":2,\"1000\":3}]");
    assert_eq!(
        run("cjson.encode_skip_unsupported_value_types(true) return cjson.encode({1, print, 2, {print}, {a = print}})"),
        "[1,2,[],{}]"
    );
    let holes = "cjson.encode_indent('  ') return cjson.encode({1, {}, {2, 3, {4}}, {5, x = 6}})";
    let text = "[\n  1,\n  {},\n  [\n    2,\n    3,\n    [\n      4\n    ]\n  ],\n  {\n    \"1\": 5,\n    \"x\": 6\n  }\n]";
    assert_eq!(run(holes), text);
    assert_eq!(encoded("setmetatable({1, 2}, cjson.empty_array_mt)"), "[1,2]");
    assert_eq!(encoded("setmetatable({1, 2, x = 3}, cjson.empty_array_mt)"), "[1,2]");
    assert_eq!(encoded("{1, setmetatable({x = 3}, cjson.empty_array_mt), 2}"), "[1,[],2]");
    assert_eq!(encoded("setmetatable({1, nil, 3}, { __index = function(_, i) return 'i' .. i end })"), "[1,\"i2\",3]");
}

#[test]
fn what_was_written_reads_the_same() {
    let deep = "local t, u = {}, {} for i = 1, 998 do t, u = { i, t, 'x' }, { i, k = u } end \
         local a, b = cjson.encode(t), cjson.encode(u) return cjson.encode(cjson.decode(a)) == a, #cjson.encode(cjson.decode(b)) == #b";
    assert_eq!(run(deep), "true true");
    let strings = "local t = {} for n = 0, 70 do for c = 0, 255 do \
         t[#t + 1] = ('a'):rep(n) .. string.char(c) .. ('\\xff'):rep(n % 9) end end \
         local u = cjson.decode(cjson.encode(t)) for i = 1, #t do if t[i] ~= u[i] then return i end end return #u";
    assert_eq!(run(strings), format!("{}", 71 * 256));
    assert_eq!(
        run("return cjson.encode(cjson.decode('[1e5,-0,1.0,-0.0,1e15,0.1,-12.50,123456789012345678]'))"),
        "[100000,0,1,-0,1e+15,0.1,-12.5,1.2345678901235e+17]"
    );
}

#[test]
fn metamethods() {
    let proxy = "setmetatable({}, { __len = function() return 2 end, __index = function(_, i) return cjson.encode({i}) end })";
    assert_eq!(encoded(proxy), "[\"[1]\",\"[2]\"]");
    assert_eq!(encoded("setmetatable({}, { __len = function() error('no', 0) end })"), "nil no");
    // A table that changes while it is walked is no danger.
    let code = "local t = {} for i = 1, 50 do t['k' .. i] = {} end \
         t.k7 = setmetatable({}, { __len = function() for k in pairs(t) do t[k] = nil end \
         for i = 1, 500 do t['n' .. i] = i end collectgarbage() return 0 end }) \
         local text, err = safe.encode(t) return type(text) == 'string' or err:find('next', 1, true) ~= nil";
    assert_eq!(run(code), "true");
}

#[test]
fn refusals() {
    assert_eq!(encoded("print"), "nil Cannot serialise function: type not supported");
    assert_eq!(encoded("{[true] = 1}"), "nil Cannot serialise boolean: table key must be a number or string");
    assert_eq!(encoded("{[1000] = 1}"), "nil Cannot serialise table: excessively sparse array");
    assert_eq!(encoded("0/0"), "nil Cannot serialise number: must not be NaN or Infinity");
    assert_eq!(run("local t = {} t.t = t return safe.encode(t)"), "nil Cannot serialise, excessive nesting (1001)");
    assert_eq!(
        run(
            "safe.encode_max_depth(1e9) local t = {} t.t = t return select(2, safe.encode(t)):match('^Cannot serialise, excessive nesting')"
        ),
        "Cannot serialise, excessive nesting"
    );
    assert_eq!(run("return safe.decode(('['):rep(1001))"), "nil Found too many nested data structures (1001) at character 1001");
    let deep = "safe.decode_max_depth(1e9) return select(2, safe.decode(('['):rep(1e5) .. (']'):rep(1e5))):sub(1, 37)";
    assert_eq!(run(deep), "Found too many nested data structures");
    assert_eq!(run("return safe.decode(nil)"), "nil bad argument #1 to 'decode' (string expected, got nil)");
    assert!(run("return pcall(safe.decode)").ends_with("bad argument #1 to 'decode' (expected 1 argument)"));
    assert!(run("return pcall(cjson.encode_max_depth, 0)").ends_with("(expected integer between 1 and 2147483647)"));
    assert!(
        run("return pcall(cjson.encode_max_depth, 1, 2)").ends_with("bad argument #2 to 'encode_max_depth' (found too many arguments)")
    );
    assert!(run("return pcall(cjson.encode_keep_buffer, 'x')").ends_with("(invalid option 'x')"));
    assert_eq!(run("return pcall(cjson.decode, '[1')"), "false Expected comma or array end but found T_END at character 3");
}

#[test]
fn settings() {
    assert_eq!(run("cjson.encode_empty_table_as_object(false) return cjson.encode({}), safe.encode({})"), "[] {}");
    assert_eq!(
        run("cjson.encode_escape_forward_slash(false) return cjson.encode('/'), cjson.encode_escape_forward_slash()"),
        "\"/\" false"
    );
    assert_eq!(run("return cjson.encode_sparse_array(true, 0, 1)"), "true 0 1");
    assert_eq!(run("cjson.encode_sparse_array(true) return cjson.encode({[1000] = 1})"), "{\"1000\":1}");
    assert_eq!(run("cjson.encode_number_precision(3) return cjson.encode(1 / 3)"), "0.333");
    assert_eq!(run("cjson.encode_invalid_numbers('null') return cjson.encode(0 / 0), cjson.encode_invalid_numbers()"), "null null");
    assert_eq!(run("cjson.encode_invalid_numbers(true) return cjson.encode({1 / 0, -1 / 0, 0 / 0})"), "[Infinity,-Infinity,NaN]");
    assert_eq!(run("cjson.encode_skip_unsupported_value_types(true) return cjson.encode({print, 1, print, 2})"), "[1,2]");
    assert_eq!(
        run("cjson.encode_indent(' ') return cjson.encode({{1, 2}, {}, {a = 1}})"),
        "[\n [\n  1,\n  2\n ],\n {},\n {\n  \"a\": 1\n }\n]"
    );
    assert_eq!(run("cjson.decode_array_with_array_mt(true) return getmetatable(cjson.decode('[]')) == cjson.array_mt"), "true");
    assert_eq!(run("return getmetatable(cjson.decode('[]')), cjson.encode_max_depth(), cjson.decode_max_depth(7)"), "nil 1000 7");
    assert_eq!(
        run("cjson.decode_invalid_numbers(false) return pcall(cjson.decode, '0x1')"),
        "false Expected value but found invalid number at character 1"
    );
    assert_eq!(run("cjson.decode_allow_comment(true) return cjson.decode('/* x */ 1')"), "1");
    assert_eq!(
        run("local other = cjson.new() other.encode_max_depth(1) return cjson.encode_max_depth(), other.encode_keep_buffer(false)"),
        "1000 false"
    );
}
