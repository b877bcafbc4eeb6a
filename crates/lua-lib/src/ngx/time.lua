local b = ...
local C, cx, text, ngx = b.C, b.cx, b.text, b.ngx
local type, error = type, error
local c_now, c_time, c_date, monotonic = C.now, C.time, C.date, C.monotonic

function ngx.now()
    return c_now(cx)
end

function ngx.time()
    return c_time(cx)
end

function ngx.update_time()
    C.update_time(cx)
end

function ngx.today()
    c_date(cx, K.TODAY)
    return text()
end

function ngx.localtime()
    c_date(cx, K.LOCAL)
    return text()
end

function ngx.utctime()
    c_date(cx, K.UTC)
    return text()
end

function ngx.http_time(seconds)
    if type(seconds) ~= "number" then
        error("number argument only", 2)
    end
    C.http_time(cx, seconds)
    return text()
end

function ngx.cookie_time(seconds)
    if type(seconds) ~= "number" then
        error("number argument only", 2)
    end
    C.cookie_time(cx, seconds)
    return text()
end

function ngx.parse_http_time(s)
    if type(s) ~= "string" then
        error("string argument only", 2)
    end
    local time = C.parse_http_time(cx, s, #s)
    if time < 0 then
        return nil
    end
    return time
end

b.G.package.loaded["resty.core.time"] = {
    version = "0.1.33",
    monotonic_msec = function()
        return monotonic(cx)
    end,
    monotonic_time = function()
        return monotonic(cx) / 1000
    end,
}
