-- Calls each built-in function in a loop and says what the compiler made of it: `compiled`, `stitched` (the function has no
-- compiled form, and the code around it goes on), or why it gave up.
local util, attach = require "jit.util", jit.attach
local re, semaphore, errlog, base64 = require "ngx.re", require "ngx.semaphore", require "ngx.errlog", require "ngx.base64"
local string_lib, cjson = require "resty.string", require "cjson"
local lru, sum, sem, d = require "resty.lrucache".new(10), require "resty.sha256":new(), semaphore.new(1), ngx.shared.d
local new, clear, nkeys, clone, isempty, isarray =
    require "table.new", require "table.clear", require "table.nkeys", require "table.clone", require "table.isempty", require "table.isarray"
local t, list, meta, var, req, header = { a = 1 }, { 1, 2 }, {}, ngx.var, ngx.req, ngx.header

local function whole(groups)
    return groups[0]
end

local functions = {
    ["ngx.re.match"] = function() return ngx.re.match("abc1", "([a-z])(\\d)", "jo") end,
    ["ngx.re.find"] = function() return ngx.re.find("abc1", "\\d", "jo") end,
    ["ngx.re.gmatch"] = function()
        local next_match = ngx.re.gmatch("a1b2c3", "\\d", "jo")
        return next_match(), next_match()
    end,
    ["ngx.re.sub"] = function() return ngx.re.sub("abc1", "\\d", "x$0", "jo") end,
    ["ngx.re.sub with a function"] = function() return ngx.re.sub("abc1", "\\d", whole, "jo") end,
    ["ngx.re.gsub"] = function() return ngx.re.gsub("abc1", "\\d", "x", "jo") end,
    ["ngx.re.gsub with a function"] = function() return ngx.re.gsub("abc1", "\\d", whole, "jo") end,
    ["ngx.re.split"] = function() return re.split("a,b,c", ",", "jo") end,
    ["shared.get"] = function() return d:get("a") end,
    ["shared.get_stale"] = function() return d:get_stale("a") end,
    ["shared.set"] = function() return d:set("a", "x", 10, 3) end,
    ["shared.safe_set"] = function() return d:safe_set("a", 1) end,
    ["shared.add"] = function() return d:add("b", 1) end,
    ["shared.safe_add"] = function() return d:safe_add("b", 1) end,
    ["shared.replace"] = function() return d:replace("b", 1) end,
    ["shared.delete"] = function() return d:delete("c") end,
    ["shared.incr"] = function() return d:incr("n", 1, 0) end,
    ["shared.ttl"] = function() return d:ttl("a") end,
    ["shared.expire"] = function() return d:expire("a", 10) end,
    ["shared.lpush"] = function() return d:lpush("l", 1) end,
    ["shared.rpush"] = function() return d:rpush("l", 1) end,
    ["shared.lpop"] = function() return d:lpop("l") end,
    ["shared.rpop"] = function() return d:rpop("l") end,
    ["shared.llen"] = function() return d:llen("l") end,
    ["shared.capacity"] = function() return d:capacity() end,
    ["shared.free_space"] = function() return d:free_space() end,
    ["semaphore.post"] = function() return sem:post(1) end,
    ["semaphore.wait"] = function() return sem:wait(0) end,
    ["semaphore.count"] = function() return sem:count() end,
    ["semaphore.new"] = function() return semaphore.new(0) end,
    ["errlog.raw_log"] = function() return errlog.raw_log(ngx.DEBUG, "x") end,
    ["errlog.get_sys_filter_level"] = function() return errlog.get_sys_filter_level() end,
    ["errlog.get_logs"] = function() return errlog.get_logs(1) end,
    ["ngx.md5"] = function() return ngx.md5("x") end,
    ["ngx.md5_bin"] = function() return ngx.md5_bin("x") end,
    ["ngx.sha1_bin"] = function() return ngx.sha1_bin("x") end,
    ["ngx.hmac_sha1"] = function() return ngx.hmac_sha1("k", "x") end,
    ["ngx.crc32_short"] = function() return ngx.crc32_short("x") end,
    ["ngx.crc32_long"] = function() return ngx.crc32_long("x") end,
    ["ngx.encode_base64"] = function() return ngx.encode_base64("x") end,
    ["ngx.decode_base64"] = function() return ngx.decode_base64("eA==") end,
    ["base64.encode_base64url"] = function() return base64.encode_base64url("x") end,
    ["base64.decode_base64url"] = function() return base64.decode_base64url("eA") end,
    ["ngx.escape_uri"] = function() return ngx.escape_uri("x y") end,
    ["ngx.unescape_uri"] = function() return ngx.unescape_uri("x%20y") end,
    ["ngx.quote_sql_str"] = function() return ngx.quote_sql_str("x'y") end,
    ["ngx.time"] = function() return ngx.time() end,
    ["ngx.now"] = function() return ngx.now() end,
    ["ngx.update_time"] = function() return ngx.update_time() end,
    ["ngx.today"] = function() return ngx.today() end,
    ["ngx.localtime"] = function() return ngx.localtime() end,
    ["ngx.utctime"] = function() return ngx.utctime() end,
    ["ngx.http_time"] = function() return ngx.http_time(1) end,
    ["ngx.cookie_time"] = function() return ngx.cookie_time(1) end,
    ["ngx.parse_http_time"] = function() return ngx.parse_http_time("Thu, 18 Nov 2010 11:27:35 GMT") end,
    ["ngx.get_phase"] = function() return ngx.get_phase() end,
    ["ngx.worker.id"] = function() return ngx.worker.id() end,
    ["ngx.worker.count"] = function() return ngx.worker.count() end,
    ["ngx.worker.pid"] = function() return ngx.worker.pid() end,
    ["ngx.worker.exiting"] = function() return ngx.worker.exiting() end,
    ["ngx.var"] = function() return var.uri end,
    ["ngx.var by assignment"] = function() var.v = "x" end,
    ["ngx.header"] = function() return header["X-Y"] end,
    ["ngx.header by assignment"] = function() header["X-Y"] = "z" end,
    ["ngx.ctx"] = function() return ngx.ctx end,
    ["ngx.status"] = function() return ngx.status end,
    ["ngx.is_subrequest"] = function() return ngx.is_subrequest end,
    ["ngx.headers_sent"] = function() return ngx.headers_sent end,
    ["ngx.req.get_method"] = function() return req.get_method() end,
    ["ngx.req.get_headers"] = function() return req.get_headers() end,
    ["ngx.req.get_uri_args"] = function() return req.get_uri_args() end,
    ["ngx.req.set_header"] = function() req.set_header("X-Y", "z") end,
    ["ngx.req.clear_header"] = function() req.clear_header("X-Z") end,
    ["ngx.req.start_time"] = function() return req.start_time() end,
    ["resty.lrucache"] = function() return lru:set("a", 1), lru:get("a") end,
    ["resty.string.to_hex"] = function() return string_lib.to_hex("x") end,
    ["resty.sha256"] = function() return sum:update("x"), sum:final(), sum:reset() end,
    ["setmetatable"] = function() return setmetatable({}, meta) end,
    ["table.new"] = function() return new(1, 1) end,
    ["table.clear"] = function() return clear(t) end,
    ["table.nkeys"] = function() return nkeys(t) end,
    ["table.isempty"] = function() return isempty(t) end,
    ["table.clone"] = function() return clone(list) end,
    ["table.isarray"] = function() return isarray(list) end,
    ["cjson.encode"] = function() return cjson.encode(list) end,
    ["cjson.decode"] = function() return cjson.decode("[1]") end,
    ["shared.get_keys"] = function() return d:get_keys(1) end,
}

-- That the compiler begins elsewhere (the end or the middle of a loop, another turn) is its usual way of finding traces:
-- too short (what is recorded leaves the loop and meets the end of `outcome`), retry, leaving a loop, inner loop, unroll limits,
-- down-recursion. Where nothing else is made either, the outcome is "not compiled".
local usual = { [1] = true, [6] = true, [8] = true, [9] = true, [10] = true, [13] = true, [14] = true }

local made, stitched, gave_up
local function watch(what, number, _, _, code)
    if what == "stop" then
        made = made + 1
        stitched = stitched or util.traceinfo(number).linktype == "stitch"
    elseif what == "abort" and not usual[code] then
        gave_up = gave_up or "gave up: " .. tostring(code)
    end
end

local function repeat_calls(f)
    for _ = 1, 400 do
        f()
    end
end

local function outcome(f)
    -- What is made at the first call is no part of it.
    f()
    jit.flush()
    made, stitched, gave_up = 0, false, nil
    attach(watch, "trace")
    repeat_calls(f)
    attach(watch)
    return gave_up or stitched and "stitched" or made > 0 and "compiled" or "not compiled"
end
jit.off(outcome)

local names, lines = {}, {}
for name in pairs(functions) do
    names[#names + 1] = name
end
table.sort(names)
for i, name in ipairs(names) do
    lines[i] = name .. ": " .. outcome(functions[name]) .. "\n"
end
header["X-Y"] = nil
ngx.print(lines)
