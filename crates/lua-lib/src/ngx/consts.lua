local b = ...
local R, cx, ngx, G = b.R, b.cx, b.ngx, b.G
local rawset, rawget, tonumber, ceil, error, select = rawset, rawget, tonumber, math.ceil, error, select
local loaded, ffi = G.package.loaded, require "ffi"
local exdata = require "thread.exdata"

local numbers = {
    OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5,
    STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
}
local is_stream = K.IS_STREAM == 1
local subsystem = is_stream and "stream" or "http"
local http_numbers = {
    HTTP_GET = 2,
    HTTP_HEAD = 4,
    HTTP_POST = 8,
    HTTP_PUT = 16,
    HTTP_DELETE = 32,
    HTTP_MKCOL = 64,
    HTTP_COPY = 128,
    HTTP_MOVE = 256,
    HTTP_OPTIONS = 512,
    HTTP_PROPFIND = 1024,
    HTTP_PROPPATCH = 2048,
    HTTP_LOCK = 4096,
    HTTP_UNLOCK = 8192,
    HTTP_PATCH = 16384,
    HTTP_TRACE = 32768,
    HTTP_CONTINUE = 100,
    HTTP_SWITCHING_PROTOCOLS = 101,
    HTTP_OK = 200,
    HTTP_CREATED = 201,
    HTTP_ACCEPTED = 202,
    HTTP_NO_CONTENT = 204,
    HTTP_PARTIAL_CONTENT = 206,
    HTTP_SPECIAL_RESPONSE = 300,
    HTTP_MOVED_PERMANENTLY = 301,
    HTTP_MOVED_TEMPORARILY = 302,
    HTTP_SEE_OTHER = 303,
    HTTP_NOT_MODIFIED = 304,
    HTTP_TEMPORARY_REDIRECT = 307,
    HTTP_PERMANENT_REDIRECT = 308,
    HTTP_BAD_REQUEST = 400,
    HTTP_UNAUTHORIZED = 401,
    HTTP_PAYMENT_REQUIRED = 402,
    HTTP_FORBIDDEN = 403,
    HTTP_NOT_FOUND = 404,
    HTTP_NOT_ALLOWED = 405,
    HTTP_NOT_ACCEPTABLE = 406,
    HTTP_REQUEST_TIMEOUT = 408,
    HTTP_CONFLICT = 409,
    HTTP_GONE = 410,
    HTTP_UPGRADE_REQUIRED = 426,
    HTTP_TOO_MANY_REQUESTS = 429,
    HTTP_CLOSE = 444,
    HTTP_ILLEGAL = 451,
    HTTP_INTERNAL_SERVER_ERROR = 500,
    HTTP_NOT_IMPLEMENTED = 501,
    HTTP_METHOD_NOT_IMPLEMENTED = 501,
    HTTP_BAD_GATEWAY = 502,
    HTTP_SERVICE_UNAVAILABLE = 503,
    HTTP_GATEWAY_TIMEOUT = 504,
    HTTP_VERSION_NOT_SUPPORTED = 505,
    HTTP_INSUFFICIENT_STORAGE = 507,
}
for _, list in ipairs { numbers, not is_stream and http_numbers or nil } do
    for name, number in pairs(list) do
        rawset(ngx, name, number)
    end
end
rawset(ngx, "null", R.null())
for _, name in ipairs { "req", not is_stream and "resp" or nil } do
    if rawget(ngx, name) == nil then
        rawset(ngx, name, {})
    end
end

rawset(ngx, "config", {
    subsystem = subsystem, debug = false, nginx_version = 1031003, ngx_lua_version = is_stream and 20 or 10032,
    prefix = function()
        return (R.prefix())
    end,
    nginx_configure = function()
        return (R.configure())
    end,
})

-- By the bit of this server's phase: the name, and the bit that OpenResty gives it.
local names = {
    [0x1] = "set", [0x2] = "rewrite", [0x4] = "access", [0x8] = "content", [0x10] = "log", [0x20] = "header_filter",
    [0x40] = "body_filter", [0x80] = "timer", [0x100] = "init_worker", [0x200] = "balancer", [0x400] = "ssl_cert",
    [0x800] = "ssl_session_store", [0x1000] = "ssl_session_fetch", [0x2000] = "exit_worker",
    [0x4000] = "ssl_client_hello", [0x8000] = "server_rewrite", [0x10000] = "precontent",
    [0x20000] = "proxy_ssl_cert", [0x40000] = "proxy_ssl_verify", [0x80000] = "init", [0x100000] = "preread",
}
local raw = { [0x10000] = 0x20000, [0x20000] = 0x40000, [0x40000] = 0x10000 }

-- The highest bit says that a phase waits which could not otherwise.
local LEAVE = 0x80000000

function ngx.get_phase()
    return names[cx.phase % LEAVE] or "init"
end

function ngx.get_raw_phase()
    local phase = cx.phase % LEAVE
    return raw[phase] or phase
end

-- What resty.core's own modules and some libraries take from resty.core.base.
local version = "0.1.33"
local new_tab, clear_tab = require "table.new", require "table.clear"
local buffer_size, buffer, size_pointer, error_pointer = 4096, nil, nil, nil
local bytes = ffi.typeof("char[?]")
local base = {
    version = version, new_tab = new_tab, clear_tab = clear_tab,
    FFI_OK = 0, FFI_ERROR = -1, FFI_AGAIN = -2, FFI_BUSY = -3, FFI_DONE = -4, FFI_DECLINED = -5, FFI_ABORT = -6,
    FFI_NO_REQ_CTX = -100, FFI_BAD_CONTEXT = -101,
}
loaded["resty.core.base"] = base

function base.get_errmsg_ptr()
    error_pointer = error_pointer or ffi.new("char *[1]")
    return error_pointer
end

function base.get_size_ptr()
    size_pointer = size_pointer or ffi.new("size_t[1]")
    return size_pointer
end

function base.set_string_buf_size(size)
    if size > 0 then
        buffer, buffer_size = nil, ceil(size)
    end
end

function base.get_string_buf_size()
    return buffer_size
end

function base.get_string_buf(size, own)
    if own or size > buffer_size then
        return ffi.new(bytes, size)
    end
    buffer = buffer or ffi.new(bytes, buffer_size)
    return buffer
end

-- A list whose free places are chained from index 0.
function base.ref_in_table(list, value)
    if value == nil then
        return -1
    end
    local place = list[0]
    if place and place ~= 0 then
        list[0] = list[place]
    else
        place = #list + 1
    end
    list[place] = value
    return place
end

function base.allows_subsystem(...)
    for i = 1, select("#", ...) do
        if select(i, ...) == subsystem then
            return
        end
    end
    error("unsupported subsystem: " .. subsystem, 2)
end

function base.get_request()
    local r = exdata()
    if r ~= nil then
        return r
    end
end

loaded["resty.core"] = { version = version }
loaded["resty.core.phase"] = { version = version }
loaded["resty.core.utils"] = {
    version = version,
    str_replace_char = function(text, from, to)
        if #from ~= 1 or not text:find(from, 1, true) then
            return text
        end
        return (text:gsub(from:gsub("%p", "%%%0"), (to:gsub("%%", "%%%%"))))
    end,
}
for _, name in ipairs { "ctx", "exit", "coroutine", "param", "ndk", "socket", "regex", "shdict" } do
    loaded["resty.core." .. name] = loaded["resty.core." .. name] or { version = version }
end
