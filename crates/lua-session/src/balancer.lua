local b = ...
local C, cx, text, G = b.C, b.cx, b.text, b.G
local type, tonumber, error = type, tonumber, error
local peer, more, failure, timeouts = C.balancer_peer, C.balancer_more, C.balancer_failure, C.balancer_timeouts
local pool, keepalive, rewrite, bind, tls = C.balancer_pool, C.balancer_keepalive, C.balancer_rewrite, C.balancer_bind, C.balancer_tls

local is_stream = b.ngx.config.subsystem == "stream"
local balancer = { version = "0.1.33" }

-- Called at the end of functions, whose frames are gone then: 2 is their caller.
local function answer(rc)
    if rc == K.DONE then
        return true
    elseif rc == K.RAISED then
        error(text(), 2)
    end
    return nil, text()
end

local function bad_type(number, name, expected, value)
    error("bad argument #" .. number .. " to '" .. name .. "' (" .. expected .. " expected, got " .. type(value) .. ")", 3)
end

local function bad_option(name, expected)
    error("bad option '" .. name .. "' to 'set_current_peer' (" .. expected .. ")", 4)
end

-- The name and size that the connection's pool is to have.
local function check_options(options)
    local name, size = options.pool, options.pool_size
    if name ~= nil and type(name) ~= "string" then
        bad_option("pool", "string expected, got " .. type(name))
    elseif size == nil then
        return name or "", 0
    elseif type(size) ~= "number" then
        bad_option("pool_size", "number expected, got " .. type(size))
    elseif not (size >= 1) then
        bad_option("pool_size", "expected > 0")
    end
    return name or "", size
end

function balancer.set_current_peer(address, port, host)
    if not port then
        port = 0
    elseif type(port) ~= "number" then
        port = tonumber(port)
    end
    if host ~= nil and is_stream then
        error("bad argument #3 to 'set_current_peer' ('host' not yet implemented in stream subsystem)", 2)
    end
    if type(host) == "table" then
        local name, size = check_options(host)
        local rc = peer(cx, address, #address, port, "", 0)
        if rc == K.DONE then
            rc = pool(cx, name, #name, size)
        end
        return answer(rc)
    end
    if host ~= nil and type(host) ~= "string" then
        bad_type(3, "set_current_peer", "string", host)
    end
    host = host or ""
    local rc = peer(cx, address, #address, port, host, #host)
    return answer(rc)
end

function balancer.set_more_tries(count)
    local rc = more(cx, count)
    if rc == K.REDUCED then
        return true, text()
    end
    return answer(rc)
end

function balancer.get_last_failure()
    local rc = failure(cx)
    if rc == K.DONE then
        return nil
    elseif rc < 0 then
        if rc == K.RAISED then
            error(text(), 2)
        end
        return nil, nil, text()
    elseif rc >= K.BROKEN then
        return "failed", rc - K.BROKEN
    end
    return "next", rc
end

local function milliseconds(seconds, what)
    if not seconds then
        return 0
    elseif type(seconds) ~= "number" or seconds <= 0 then
        error("bad " .. what .. " timeout", 3)
    end
    return seconds * 1000
end

function balancer.set_timeouts(connect, send, read)
    connect, send, read = milliseconds(connect, "connect"), milliseconds(send, "send"), milliseconds(read, "read")
    local rc = timeouts(cx, connect, send, read)
    if rc == K.REFUSED then
        return false, text()
    end
    return answer(rc)
end

function balancer.enable_keepalive(idle, requests)
    if is_stream then
        error("'enable_keepalive' not yet implemented in stream subsystem", 2)
    end
    if not idle then
        idle = 60
    elseif type(idle) ~= "number" then
        bad_type(1, "enable_keepalive", "number", idle)
    elseif idle < 0 then
        error("bad argument #1 to 'enable_keepalive' (expected >= 0)", 2)
    end
    if not requests then
        requests = 100
    elseif type(requests) ~= "number" then
        bad_type(2, "enable_keepalive", "number", requests)
    elseif requests < 0 then
        error("bad argument #2 to 'enable_keepalive' (expected >= 0)", 2)
    end
    return answer(keepalive(cx, idle * 1000, requests))
end

function balancer.bind_to_local_addr(address)
    if type(address) ~= "string" then
        bad_type(1, "bind_to_local_addr", "string", address)
    end
    return answer(bind(cx, address, #address))
end

if not is_stream then
    function balancer.recreate_request()
        return answer(rewrite(cx))
    end

    function balancer.set_upstream_tls(on)
        return answer(tls(cx, (on == 0 or on == false) and 0 or 1))
    end
end

G.package.loaded["ngx.balancer"] = balancer
