local b = ...
local C, R, cx, text, stop, ngx = b.C, b.R, b.cx, b.text, b.stop, b.ngx
local type, error = type, error
local req, set_uri = ngx.req, R.set_uri

function req.get_method()
    if C.get_method(cx) < 0 then
        error(text(), 2)
    end
    return text()
end

function req.set_method(method)
    if type(method) ~= "number" then
        error("bad method number", 2)
    end
    local rc = C.set_method(cx, method)
    if rc < 0 then
        error(text(), 2)
    elseif rc == K.UNKNOWN then
        error("unsupported HTTP method: " .. method, 2)
    end
end

function req.is_internal()
    local rc = C.is_internal(cx)
    if rc < 0 then
        error(text(), 2)
    end
    return rc == K.YES
end

function req.start_time()
    local time = C.start_time(cx)
    if time < 0 then
        error(text(), 2)
    end
    return time
end

function req.set_uri(...)
    if set_uri(...) then
        C.finish(cx, ngx.OK)
        return stop()
    end
end

getmetatable(ngx).getters.is_subrequest = function()
    local rc = C.is_subrequest(cx)
    if rc < 0 then
        error(text(), 2)
    end
    return rc == K.YES
end
