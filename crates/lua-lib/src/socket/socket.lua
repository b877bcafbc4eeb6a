local b = ...
local R, C, ngx, cx, text, wait, can_wait = b.R, b.C, b.ngx, b.cx, b.text, b.wait, b.can_wait
local error, select, type, setmetatable, tonumber = error, select, type, setmetatable, tonumber
local getmetatable, newproxy, floor, rawget = getmetatable, newproxy, math.floor, rawget
local RAISE, raised, send_list = b.RAISE, b.raised, b.N.send_list
local quick_buffered, quick_receive, quick_send = C.quick_buffered, C.quick_receive, C.quick_send
local quick_allowed, quick_connect, quick_keep = C.quick_allowed, C.quick_connect, C.quick_keep

-- Numbers of sockets whose objects are gone.
local note, noted = b.finalized()
local until_row, collect, check_tcp, connect_row = R["until"], R.collect, R.tcp, R.connect

local methods = {
    receiveany = R.receiveany, bind = R.bind, close = R.close, getreusedtimes = R.getreusedtimes,
    getfd = R.getfd, setoption = R.setoption, getoption = R.getoption,
}
local meta = { __index = methods }
if ngx.config.subsystem == "stream" then
    methods.shutdown = R.shutdown
    function methods.settransparent(...)
        local n = select("#", ...)
        if n ~= 1 then
            error("ngx.socket settransparent: expecting 1 argument (including the object) but seen " .. n, 2)
        end
        local self = ...
        self[11] = true
        return true
    end
    -- It has to be said before there is a connection.
    function methods.setoption(self, option, value)
        if option == "ip-transparent" and value ~= nil then
            self[11] = value and value ~= 0
            return true
        end
        return R.setoption(self, option, value)
    end
end

-- The rows are left by a tail call, so that their errors name the line that called the method.
local receive_row, send_row, keep_row = R.receive, R.send, R.setkeepalive

-- What a quick receive has found, or what it waits for.
local function received(state)
    if state == K.HERE then
        local data = text()
        return data
    end
    return wait()
end

-- LuaJIT compiles no function with `...` for itself, so what the methods do with the usual number of arguments is in
-- functions without.
local function receive(n, self, what)
    if type(self) == "table" then
        local id, count = self[1], 0
        if type(what) == "number" then
            count = what
        elseif n ~= 1 and what ~= "*l" then
            return receive_row(self, what)
        end
        if id and (count >= 1 or count ~= what) then
            if quick_buffered(cx, id, count) then
                local data = text()
                return data
            end
            if can_wait() then
                local state = quick_receive(cx, id, count, self[5] or 0)
                if state ~= K.ELSEWHERE then
                    return received(state)
                end
            end
        end
    end
    if n == 1 then
        return receive_row(self)
    end
    return receive_row(self, what)
end

function methods.receive(...)
    local n = select("#", ...)
    if n == 1 or n == 2 then
        return receive(n, ...)
    end
    return receive_row(...)
end

local function finalize(proxy)
    local object = getmetatable(proxy).object
    if object[1] then
        note(object[1])
    end
end

-- Has a socket's table tell the machine when Lua lets go of it.
local function watch(self)
    local dead = noted()
    if dead then
        collect(dead)
    end
    local proxy = newproxy(true)
    local hooks = getmetatable(proxy)
    hooks.__gc, hooks.object = finalize, self
    self.__proxy = proxy
    return self
end

-- A connection of a pool is taken without a watch: such sockets are few, and they end with their handler.
local function reconnect(self, host, port)
    if type(self) == "table" and type(host) == "string" and type(port) == "number" then
        local id = quick_connect(cx, self[1] or 0, host, #host, port)
        if id > 0 then
            self[1] = id
            return true
        end
    end
    return false
end

function methods.connect(...)
    local self, host, port, options = ...
    if options == nil and select("#", ...) <= 4 and reconnect(self, host, port) then
        return 1
    end
    if type(self) == "table" and not rawget(self, "__proxy") then
        watch(self)
    end
    return connect_row(...)
end

local function rest(self, timeout, size)
    if type(self) == "table" and type(timeout) == "number" and (size == nil or type(size) == "number") then
        local id = self[1]
        return id and quick_keep(cx, id, timeout)
    end
end

function methods.setkeepalive(...)
    if select("#", ...) <= 3 and rest(...) then
        return 1
    end
    return keep_row(...)
end

local function rest_sent(total, count, err)
    if count then
        return total
    end
    return nil, err
end

local function send(self, data)
    if type(self) == "table" then
        local id, kind = self[1], type(data)
        if id and kind == "string" then
            local count = quick_send(cx, id, data, #data)
            if count == #data then
                return count
            end
            if count >= 0 then
                return rest_sent(#data, send_row(self, data:sub(count + 1)))
            end
        elseif id and kind == "table" then
            local total, rest = send_list(self, data)
            if total and total ~= RAISE then
                if rest then
                    return rest_sent(total, send_row(self, rest))
                end
                return total
            end
        end
    end
    return send_row(self, data)
end

function methods.send(...)
    if select("#", ...) == 2 then
        return send(...)
    end
    return send_row(...)
end

local function timeout(value)
    local n = tonumber(value) or 0
    if n < 0 or n > 2147483647 then
        error("bad timeout value", 3)
    end
    return floor(n)
end

function methods.settimeout(...)
    local n = select("#", ...)
    if n ~= 2 then
        error("ngx.socket settimeout: expecting 2 arguments (including the object) but seen " .. n, 2)
    end
    local self, value = ...
    value = timeout(value)
    self[3], self[4], self[5] = value, value, value
end

function methods.settimeouts(...)
    local n = select("#", ...)
    if n ~= 4 then
        error("ngx.socket settimeouts: expecting 4 arguments (including the object) but seen " .. n, 2)
    end
    local self, connecting, sending, reading = ...
    self[3], self[4], self[5] = timeout(connecting), timeout(sending), timeout(reading)
end

-- Keeps whether the pattern was reached, and hands out the rest.
local function step(state, data, err, part, reached)
    state.reached = reached
    if data == nil then
        return nil, err, part
    end
    return data
end

-- The method of sockets whose iterators call `row`.
local function receiveuntil(row)
    return function(...)
        local n = select("#", ...)
        if n ~= 2 and n ~= 3 then
            error("expecting 2 or 3 arguments (including the object), but got " .. n, 2)
        end
        local self, pattern, options = ...
        if type(self) ~= "table" then
            return raised("bad argument #1 to 'receiveuntil' (table expected, got " .. type(self) .. ")", 2)
        end
        if type(pattern) ~= "string" and type(pattern) ~= "number" then
            return raised("bad argument #2 to 'receiveuntil' (string expected, got " .. type(pattern) .. ")", 2)
        end
        pattern = pattern .. ""
        local inclusive
        if n == 3 then
            if type(options) ~= "table" then
                return raised("bad argument #3 to 'receiveuntil' (table expected, got " .. type(options) .. ")", 2)
            end
            inclusive = options.inclusive
            if inclusive ~= nil and type(inclusive) ~= "boolean" then
                error('bad "inclusive" option value type: ' .. type(inclusive), 2)
            end
        end
        if pattern == "" then
            return nil, "pattern is empty"
        end
        local state = {}
        return function(...)
            local count = select("#", ...)
            if count > 1 then
                error("expecting 0 or 1 argument, but seen " .. count, 2)
            end
            local size = 0
            if count == 1 then
                size = tonumber((...))
                if not size then
                    error("bad argument #1 to '?' (number expected, got " .. type((...)) .. ")", 2)
                end
                size = size > 0 and floor(size) or 0
            end
            if state.reached and state.sized then
                state.reached = nil
                return nil, nil, nil
            end
            state.sized = size > 0
            return step(state, row(self, pattern, inclusive, size))
        end
    end
end
methods.receiveuntil = receiveuntil(until_row)

-- The methods of sockets whose usual receives and sends `quick` does, and whose others are those of `row`.
local function receiver(row, quick)
    local function receive(n, self, what)
        if type(self) == "table" and self[1] then
            local count = (n == 1 or what == "*l") and 0 or what
            if type(count) == "number" and (count >= 1 or count ~= what) and can_wait() then
                local state = quick(cx, self[1], count, self[5] or 0)
                if state ~= K.ELSEWHERE then
                    return received(state)
                end
            end
        end
        if n == 1 then
            return row(self)
        end
        return row(self, what)
    end
    return function(...)
        local n = select("#", ...)
        if n == 1 or n == 2 then
            return receive(n, ...)
        end
        return row(...)
    end
end

local function sender(row, quick)
    local function send(self, data)
        if type(self) == "table" and self[1] and type(data) == "string" and can_wait() then
            local count = quick(cx, self[1], data, #data)
            if count == #data then
                return count
            elseif count == K.REFUSED then
                return wait()
            elseif count > 0 then
                return rest_sent(#data, row(self, data:sub(count + 1)))
            end
        end
        return row(self, data)
    end
    return function(...)
        if select("#", ...) == 2 then
            return send(...)
        end
        return row(...)
    end
end

-- `ngx.req.socket`: `take` gives the number of the client's socket, `meta_of` what its object can do.
local function client(take, meta_of)
    return function(...)
        local id, message, level = take(...)
        if id == RAISE then
            return raised(message, level)
        end
        if not id then
            return nil, message
        end
        return setmetatable({ id }, meta_of(message, ...))
    end
end

-- For sockets of other kinds.
getmetatable(ngx).sockets = {
    client = client,
    receiveuntil = receiveuntil, receiver = receiver, sender = sender,
    settimeout = methods.settimeout, settimeouts = methods.settimeouts,
}

local function new()
    return quick_allowed(cx) and setmetatable({ false }, meta)
end

-- The checks are called last, so that their errors name who has called.
local function tcp(...)
    local sock = select("#", ...) == 0 and new()
    if sock then
        return sock
    end
    return check_tcp(...)
end

local function connect(...)
    local sock = new()
    if not sock then
        return check_tcp()
    end
    watch(sock)
    local ok, err = connect_row(sock, ...)
    if ok then
        return sock
    end
    return nil, err
end

ngx.socket = ngx.socket or {}
ngx.socket.tcp, ngx.socket.stream, ngx.socket.connect = tcp, tcp, connect
