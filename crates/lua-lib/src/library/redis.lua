-- The client of Redis (README of lua-resty-redis).
local ngx, type, tonumber, tostring, select, pairs, ipairs, rawget = ngx, type, tonumber, tostring, select, pairs, ipairs, rawget
local setmetatable, error, byte, sub, unpack, remove = setmetatable, error, string.byte, string.sub, unpack, table.remove
local new_tab, null, tcp = require "table.new", ngx.null, ngx.socket.tcp

local redis = { _VERSION = "0.32" }
local meta = { __index = redis }

-- All fields are there from the start: a name that is not there is a command.
function redis.new()
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    return setmetatable({
        _sock = sock, _reqs = false, _subscribed = false, _blocking = false, _module_prefix = false, _buffered = false,
        _channels = { unsubscribe = 0, punsubscribe = 0 },
    }, meta)
end

function redis.register_module_prefix(name)
    redis[name] = function(self)
        self._module_prefix = name
        return self
    end
end

local function set_up(self)
    return rawget(self, "_sock") or error("not initialized", 3)
end

function redis.set_timeout(self, timeout)
    set_up(self):settimeout(timeout)
end

function redis.set_timeouts(self, connect, send, read)
    set_up(self):settimeouts(connect, send, read)
end

local function optional_table(value, place)
    if value ~= nil and type(value) ~= "table" then
        error("bad argument #" .. place .. " opts: nil or table expected, got " .. type(value), 3)
    end
end

function redis.connect(self, host, port, opts)
    local sock = rawget(self, "_sock")
    if not sock then
        return nil, "not initialized"
    end
    if type(host) ~= "string" then
        error("bad argument #1 host: string expected, got " .. type(host), 2)
    end
    self._subscribed = false
    local ok, err
    if sub(host, 1, 5) == "unix:" then
        opts = port
        optional_table(opts, 2)
        if opts then
            ok, err = sock:connect(host, opts)
        else
            ok, err = sock:connect(host)
        end
    else
        local number = tonumber(port)
        if not number then
            error("bad argument #2 port: number expected, got " .. type(port), 2)
        end
        optional_table(opts, 3)
        ok, err = sock:connect(host, number, opts)
    end
    if ok and opts and opts.ssl then
        ok, err = sock:sslhandshake(false, opts.server_name, opts.ssl_verify)
        if not ok then
            return ok, "failed to do ssl handshake: " .. err
        end
    end
    return ok, err
end

function redis.set_keepalive(self, ...)
    local sock = rawget(self, "_sock")
    if not sock then
        return nil, "not initialized"
    end
    if rawget(self, "_subscribed") then
        return nil, "subscribed state"
    end
    return sock:setkeepalive(...)
end

for name, method in pairs { get_reused_times = "getreusedtimes", close = "close" } do
    redis[name] = function(self)
        local sock = rawget(self, "_sock")
        if not sock then
            return nil, "not initialized"
        end
        return sock[method](sock)
    end
end

-- Who waits for messages, or for an element of a list, goes on after a time-out.
local function receive(self, sock, size, may_wait)
    local data, err
    if size then
        data, err = sock:receive(size)
    else
        data, err = sock:receive()
    end
    if not data and err == "timeout" and not (may_wait and (self._subscribed or self._blocking)) then
        sock:close()
    end
    return data, err
end

local read

local function read_list(self, sock, count)
    if count < 0 then
        return null
    end
    local list = new_tab(count, 0)
    for i = 1, count do
        local value, err = read(self, sock)
        if value == nil then
            return nil, err
        end
        list[i] = value or { false, err }
    end
    return list
end

local function read_bulk(self, sock, size)
    if size < 0 then
        return null
    end
    local data, err = receive(self, sock, size)
    if not data then
        return nil, err
    end
    local line_end
    line_end, err = receive(self, sock, 2)
    if not line_end then
        return nil, err
    end
    return data
end

local BULK, STATUS, LIST, INTEGER, ERROR = byte("$+*:-", 1, 5)

-- One reply: a value, or false with Redis' error, or nil with the connection's.
function read(self, sock)
    local line, err = receive(self, sock, nil, true)
    if not line then
        return nil, err
    end
    local kind = byte(line)
    if kind == BULK then
        return read_bulk(self, sock, tonumber(sub(line, 2)))
    elseif kind == STATUS then
        return sub(line, 2)
    elseif kind == INTEGER then
        return tonumber(sub(line, 2))
    elseif kind == LIST then
        return read_list(self, sock, tonumber(sub(line, 2)))
    elseif kind == ERROR then
        return false, sub(line, 2)
    end
    return nil, 'unknown prefix: "' .. tostring(kind) .. '"'
end

-- An argument that is nil is one if others follow it.
local function encode(name, ...)
    local count = select("#", ...)
    while count > 0 and select(count, ...) == nil do
        count = count - 1
    end
    local pieces = new_tab(3 + 5 * count, 0)
    pieces[1], pieces[2], pieces[3], pieces[4], pieces[5] = "*", count + 1, "\r\n$", #name, "\r\n" .. name .. "\r\n"
    local at = 5
    for i = 1, count do
        local value = tostring((select(i, ...)))
        pieces[at + 1], pieces[at + 2], pieces[at + 3], pieces[at + 4], pieces[at + 5] = "$", #value, "\r\n", value, "\r\n"
        at = at + 5
    end
    return pieces
end

-- Messages of channels may come before a command's own reply; they wait for read_reply.
local function reply(self, sock)
    while true do
        local value, err = read(self, sock)
        if not (self._subscribed and type(value) == "table" and (value[1] == "message" or value[1] == "pmessage")) then
            return value, err
        end
        local waiting = self._buffered or {}
        waiting[#waiting + 1] = value
        self._buffered = waiting
    end
end

local function command(self, name, ...)
    local sock = rawget(self, "_sock")
    if not sock then
        return nil, "not initialized"
    end
    local pieces, queue = encode(name, ...), self._reqs
    if queue then
        queue[#queue + 1] = pieces
        return
    end
    local bytes, err = sock:send(pieces)
    if not bytes then
        return nil, err
    end
    return reply(self, sock)
end

-- The method of a command; `redis[name]` keeps it.
local function method(name)
    return function(self, ...)
        local prefix = rawget(self, "_module_prefix")
        if prefix then
            self._module_prefix = false
            return command(self, prefix .. "." .. name, ...)
        end
        return command(self, name, ...)
    end
end

-- The usual ones are there from the start.
local usual = "get set mget mset del incr decr llen lindex lpop lpush lrange linsert hexists hget hset hmget hdel smembers sismember sadd "
    .. "srem sdiff sinter sunion zrange zrangebyscore zrank zadd zrem zincrby auth eval expire script sort"
for name in string.gmatch(usual, "%S+") do
    redis[name] = method(name)
end

for _, name in pairs { "blpop", "brpop" } do
    local plain = method(name)
    redis[name] = function(self, ...)
        self._blocking = true
        return plain(self, ...)
    end
end

local opposite = { subscribe = "unsubscribe", psubscribe = "punsubscribe" }

local function entered(self, value)
    local leave = type(value) == "table" and opposite[value[1]]
    if leave then
        self._channels[leave] = self._channels[leave] + 1
    end
end

-- Messages of a channel that was left are not of interest any more.
local function left(self, value)
    local kind = type(value) == "table" and value[1]
    if kind ~= "unsubscribe" and kind ~= "punsubscribe" then
        return
    end
    self._channels[kind] = self._channels[kind] - 1
    local message, kept = kind == "unsubscribe" and "message" or "pmessage", {}
    for _, waiting in ipairs(self._buffered or {}) do
        if waiting[1] == message and waiting[2] ~= value[2] then
            kept[#kept + 1] = waiting
        end
    end
    self._buffered = #kept > 0 and kept
    if value[3] == 0 then
        self._subscribed = false
    end
end

for name in pairs(opposite) do
    redis[name] = function(self, ...)
        self._subscribed = true
        local value, err = command(self, name, ...)
        if not value then
            return nil, err
        end
        entered(self, value)
        local count = select("#", ...)
        if count <= 1 then
            return value
        end
        local all, sock = { value }, self._sock
        for i = 2, count do
            value, err = read(self, sock)
            if not value then
                return nil, err
            end
            entered(self, value)
            all[i] = value
        end
        return all
    end
end

for _, name in pairs(opposite) do
    redis[name] = function(self, ...)
        if not rawget(self, "_subscribed") then
            return nil, "not subscribed"
        end
        local value, err = command(self, name, ...)
        if not value then
            return nil, err
        end
        left(self, value)
        local count = select("#", ...)
        if count == 1 or self._channels[name] == 0 then
            return value
        end
        local all, sock = { value }, self._sock
        while (count == 0 or #all < count) and self._channels[name] ~= 0 do
            value, err = read(self, sock)
            if not value then
                return nil, err
            end
            all[#all + 1] = value
            left(self, value)
        end
        return all
    end
end

function redis.read_reply(self)
    local sock = rawget(self, "_sock")
    if not sock then
        return nil, "not initialized"
    end
    if not rawget(self, "_subscribed") then
        return nil, "not subscribed"
    end
    local waiting = self._buffered
    if waiting then
        local message = remove(waiting, 1)
        self._buffered = #waiting > 0 and waiting
        return message
    end
    local value, err = read(self, sock)
    left(self, value)
    return value, err
end

function redis.hmset(self, key, ...)
    if select("#", ...) ~= 1 then
        return command(self, "hmset", key, ...)
    end
    local list, count = {}, 0
    for field, value in pairs((...)) do
        list[count + 1], list[count + 2] = field, value
        count = count + 2
    end
    return command(self, "hmset", key, unpack(list, 1, count))
end

function redis.init_pipeline(self, size)
    self._reqs = new_tab(size or 4, 0)
end

function redis.cancel_pipeline(self)
    self._reqs = false
end

function redis.commit_pipeline(self)
    local queue = rawget(self, "_reqs")
    if not queue then
        return nil, "no pipeline"
    end
    self._reqs = false
    local sock = rawget(self, "_sock")
    if not sock then
        return nil, "not initialized"
    end
    local bytes, err = sock:send(queue)
    if not bytes then
        return nil, err
    end
    local values = new_tab(#queue, 0)
    for i = 1, #queue do
        local value
        value, err = read(self, sock)
        if value == nil then
            if err == "timeout" then
                sock:close()
            end
            return nil, err
        end
        values[i] = value or { false, err }
    end
    return values
end

function redis.array_to_hash(_, list)
    local hash = new_tab(0, #list / 2)
    for i = 1, #list, 2 do
        hash[list[i]] = list[i + 1]
    end
    return hash
end

function redis.add_commands(...)
    for i = 1, select("#", ...) do
        local name = select(i, ...)
        redis[name] = method(name)
    end
end

return setmetatable(redis, {
    __index = function(_, name)
        local made = method(name)
        redis[name] = made
        return made
    end,
})
