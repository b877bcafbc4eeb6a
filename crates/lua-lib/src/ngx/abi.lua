local b = ...
local ngx, loaded = b.ngx, b.G.package.loaded
local ffi = require "ffi"
local get_request = loaded["resty.core.base"].get_request
local type, tonumber, pcall, rawset, select, getmetatable = type, tonumber, pcall, rawset, select, getmetatable
local find, gsub, sub = string.find, string.gsub, string.sub
local cast, copy, str, new = ffi.cast, ffi.copy, ffi.string, ffi.new
local OK, ERROR, NO_REQUEST, BAD_CONTEXT = 0, -1, -100, -101

-- What is pointed to has to stay: the words of errors for ever, and what was answered last for a while.
local words, recent, turn = {}, {}, 0
local function keep(value)
    turn = turn % 16 + 1
    recent[turn] = value
    return value
end
local function say(err, text)
    if err ~= nil then
        local kept = words[text]
        if not kept then
            kept = new("char [?]", #text + 1, text)
            words[text] = kept
        end
        err[0] = cast("char *", kept)
    end
    return ERROR
end
-- The pointer may be one to `char *` or to `unsigned char *`.
local function point(to, length, text)
    cast("const char **", to)[0], length[0] = keep(new("char [?]", #text + 1, text)), #text
end
local function bytes(data, length)
    length = tonumber(length)
    if data == nil then
        return ""
    end
    return type(data) == "string" and sub(data, 1, length) or str(data, length)
end
local function is_this(r)
    local this = get_request()
    return r ~= nil and this ~= nil and cast("void *", r) == cast("void *", this)
end

-- The names without what all begin with.
local prefix = "ngx_" .. ngx.config.subsystem .. "_lua_ffi_"
local function define(name, f)
    rawset(ffi.C, prefix .. name, f)
end
-- A function whose first argument is the request, and whose argument number `err` behind it takes the words of errors.
local function of_request(name, err, f)
    define(name, function(r, ...)
        local to
        if err then
            to = select(err, ...)
        end
        if not is_this(r) then
            say(to, "no request found")
            return NO_REQUEST
        end
        local ok, result = pcall(f, ...)
        if ok then
            return result
        elseif find(result, "API disabled", 1, true) then
            return BAD_CONTEXT
        end
        return say(to, (gsub(result, "^[^:]+:%d+: ", "")))
    end)
end
getmetatable(ngx).abi = {
    say = say, point = point, bytes = bytes, keep = keep, is_this = is_this, define = define, of_request = of_request,
}

local function into(out, text)
    copy(out, text, #text)
    return #text
end

define("encode_base64", function(data, length, out, no_padding)
    return into(out, ngx.encode_base64(bytes(data, length), no_padding ~= nil and no_padding ~= 0 and no_padding ~= false))
end)
for _, name in ipairs { "decode_base64", "decode_base64mime" } do
    local decode = ngx[name]
    define(name, function(data, length, out, out_length)
        local text = decode(bytes(data, length))
        if not text then
            return 0
        end
        out_length[0] = into(out, text)
        return 1
    end)
end

define("uri_escaped_length", function(data, length, class)
    return #ngx.escape_uri(bytes(data, length), class)
end)
define("escape_uri", function(data, length, out, class)
    into(out, ngx.escape_uri(bytes(data, length), class))
end)
define("unescape_uri", function(data, length, out)
    return into(out, ngx.unescape_uri(bytes(data, length)))
end)

define("exec_regex", getmetatable(ngx).exec_regex)

define("now", ngx.now)
define("time", ngx.time)
define("update_time", ngx.update_time)
define("monotonic_msec", function()
    return loaded["resty.core.time"].monotonic_msec()
end)
for _, name in ipairs { "today", "localtime", "utctime" } do
    local get = ngx[name]
    define(name, function(out)
        into(out, get())
    end)
end
for _, name in ipairs { "http_time", "cookie_time" } do
    local get = ngx[name]
    define(name, function(out, seconds)
        return into(out, get(tonumber(seconds)))
    end)
end
define("parse_http_time", function(data, length, seconds)
    seconds[0] = ngx.parse_http_time(bytes(data, length)) or ERROR
end)

define("worker_count", ngx.worker.count)
define("worker_exiting", function()
    return ngx.worker.exiting() and 1 or 0
end)
define("worker_pids", function(out, count)
    local pids = ngx.worker.pids()
    if not pids then
        return ERROR
    end
    local room = tonumber(count[0])
    count[0] = #pids < room and #pids or room
    for place = 1, tonumber(count[0]) do
        out[place - 1] = pids[place]
    end
    return OK
end)

local parse_time, leave, cx = b.C.parse_time, b.C.leave_unix_listener, b.cx

-- Without room: how many bytes would be escaped. Otherwise the place behind what was written.
rawset(ffi.C, "ngx_escape_uri", function(to, data, length, class)
    local text = bytes(data, length)
    local escaped = ngx.escape_uri(text, tonumber(class))
    if to == nil then
        return (#escaped - #text) / 2
    end
    return tonumber(cast("intptr_t", to)) + into(to, escaped)
end)
rawset(ffi.C, "ngx_unescape_uri", function(to, data, length)
    -- A plus sign stays, as in nginx.
    local text = ngx.unescape_uri((gsub(bytes(data[0], length), "%+", "%%2B")))
    to[0], data[0] = to[0] + into(to[0], text), data[0] + tonumber(length)
end)
rawset(ffi.C, "ngx_parse_time", function(line, seconds)
    local text = bytes(line[0].data, line[0].len)
    return parse_time(cx, text, #text, tonumber(seconds))
end)

-- lua-resty-events has a module of nginx for this one.
rawset(ffi.C, "ngx_lua_ffi_disable_listening_unix_socket", function(name)
    local text = bytes(name[0].data, name[0].len)
    return leave(cx, text, #text) and OK or ERROR
end)

define("raw_log", function(r, level, data, length)
    if r ~= nil and not is_this(r) then
        return ERROR
    end
    return pcall(loaded["ngx.errlog"].raw_log, level, bytes(data, length)) and OK or ERROR
end)
