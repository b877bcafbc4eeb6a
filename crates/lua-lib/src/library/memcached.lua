-- The client of memcached (README of lua-resty-memcached).
local ngx, type, tostring, setmetatable, match, find, concat = ngx, type, tostring, setmetatable, string.match, string.find, table.concat
local new_tab, tcp = require "table.new", ngx.socket.tcp

local memcached = { _VERSION = "0.17" }
local meta = { __index = memcached }

function memcached.new(_, opts)
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    local escape, unescape = ngx.escape_uri, ngx.unescape_uri
    local transform = opts and opts.key_transform
    if transform then
        escape, unescape = transform[1], transform[2]
        if not escape or not unescape then
            return nil, "expecting key_transform = { escape, unescape } table"
        end
    end
    return setmetatable({ sock = sock, escape_key = escape, unescape_key = unescape }, meta)
end

function memcached.set_timeouts(self, connect, send, read)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    sock:settimeouts(connect, send, read)
    return 1
end

function memcached.set_timeout(self, timeout)
    return memcached.set_timeouts(self, timeout, timeout, timeout)
end

for name, method in pairs {
    connect = "connect", sslhandshake = "sslhandshake", set_keepalive = "setkeepalive", get_reused_times = "getreusedtimes",
    close = "close",
} do
    memcached[name] = function(self, ...)
        local sock = self.sock
        if not sock then
            return nil, "not initialized"
        end
        return sock[method](sock, ...)
    end
end

-- A line, or so many bytes. What comes after a time-out belongs to nobody.
local function receive(sock, size)
    local data, err
    if size then
        data, err = sock:receive(size)
    else
        data, err = sock:receive()
    end
    if not data and err == "timeout" then
        sock:close()
    end
    return data, err
end

-- Sends a command and reads its answer, whether there is a pipeline or not.
local function ask_now(self, pieces, read)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    local bytes, err = sock:send(pieces)
    if not bytes then
        return nil, err
    end
    return read(sock)
end

-- In a pipeline both wait for commit_pipeline.
local function ask(self, pieces, read)
    local queue = self.sock and self._reqs
    if not queue then
        return ask_now(self, pieces, read)
    end
    queue[#queue + 1] = pieces
    self._readers[#queue] = read
    return 1
end

-- A reader of one line that is `good`, or an error.
local function expect(good, other)
    return function(sock)
        local line, err = receive(sock)
        if line == good or (line and line == other) then
            return 1
        end
        return nil, line or err
    end
end

local read_stored, read_deleted, read_ok, read_touched = expect("STORED"), expect("DELETED"), expect("OK"), expect("TOUCHED", "STORED")

local function read_number(sock)
    local line, err = receive(sock)
    if line and match(line, "^%d+$") then
        return line
    end
    return nil, line or err
end

local function read_stats(sock)
    local lines, count = {}, 0
    while true do
        local line, err = receive(sock)
        if not line then
            return nil, err
        elseif line == "END" then
            return lines
        elseif find(line, "ERROR", 1, true) then
            return nil, line
        end
        count = count + 1
        lines[count] = line
    end
end

local function read_version(sock)
    local line, err = receive(sock)
    if not line then
        return nil, err
    end
    return match(line, "^VERSION (.+)$")
end

local ITEM, UNIQUE = "^VALUE (%S+) (%d+) (%d+)$", "^VALUE (%S+) (%d+) (%d+) (%d+)$"

-- One item: key, data, flags, unique number. No key with an error, or without one behind the last item.
local function read_item(sock, pattern)
    local line, err = receive(sock)
    if not line then
        return nil, err
    elseif line == "END" then
        return nil
    end
    local key, flags, size, unique = match(line, pattern)
    if not key then
        return nil, line
    end
    local data
    data, err = receive(sock, size)
    if not data then
        return nil, err
    end
    return key, data, flags, unique
end

local function read_one(sock, pattern)
    local key, data, flags, unique = read_item(sock, pattern)
    if not key then
        return nil, data
    end
    local rest, err = receive(sock, 7)
    if not rest then
        return nil, err
    end
    return data, nil, flags, unique
end

local function read_get(sock)
    local data, err, flags = read_one(sock, ITEM)
    if data then
        return data, flags
    end
    return nil, nil, err
end

local function many(self, name, pattern, keys)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    if #keys == 0 then
        return {}
    end
    local pieces, escape, unescape = { name }, self.escape_key, self.unescape_key
    for i = 1, #keys do
        pieces[i + 1] = escape(keys[i])
    end
    local bytes, err = sock:send(concat(pieces, " ") .. "\r\n")
    if not bytes then
        return nil, err
    end
    local items = {}
    while true do
        local key, data, flags, unique = read_item(sock, pattern)
        if not key then
            if data then
                return nil, data
            end
            return items
        end
        items[unescape(key)] = { data, flags, unique }
        local rest
        rest, err = receive(sock, 2)
        if not rest then
            return nil, err
        end
    end
end

function memcached.get(self, key)
    if type(key) == "table" then
        return many(self, "get", ITEM, key)
    end
    local sock = self.sock
    if not sock then
        return nil, nil, "not initialized"
    end
    local pieces = { "get ", self.escape_key(key), "\r\n" }
    if self._reqs then
        return ask(self, pieces, read_get)
    end
    local bytes, err = sock:send(pieces)
    if not bytes then
        return nil, nil, err
    end
    return read_get(sock)
end

function memcached.gets(self, key)
    if type(key) == "table" then
        return many(self, "gets", UNIQUE, key)
    end
    local sock = self.sock
    if not sock then
        return nil, nil, nil, "not initialized"
    end
    local bytes, err = sock:send { "gets ", self.escape_key(key), "\r\n" }
    if not bytes then
        return nil, nil, nil, err
    end
    local data, flags, unique
    data, err, flags, unique = read_one(sock, UNIQUE)
    if data then
        return data, flags, unique
    end
    return nil, nil, nil, err
end

-- Tables of strings and tables, in one string.
local function flat(value)
    if type(value) ~= "table" then
        return type(value) == "number" and tostring(value) or value
    end
    local pieces = new_tab(#value, 0)
    for i = 1, #value do
        pieces[i] = flat(value[i])
    end
    return concat(pieces)
end

local function store(self, name, key, value, exptime, flags, unique)
    value = flat(value)
    local size = #value
    return (unique and ask_now or ask)(self, {
        name, " ", self.escape_key(key), " ", flags or 0, " ", exptime or 0, " ", unique and size .. " " .. unique or size, "\r\n", value,
        "\r\n",
    }, read_stored)
end

for _, name in ipairs { "set", "add", "replace", "append", "prepend" } do
    memcached[name] = function(self, key, value, exptime, flags)
        return store(self, name, key, value, exptime, flags)
    end
end

function memcached.cas(self, key, value, unique, exptime, flags)
    return store(self, "cas", key, value, exptime, flags, unique)
end

for _, name in ipairs { "incr", "decr" } do
    memcached[name] = function(self, key, value)
        return ask(self, { name, " ", self.escape_key(key), " ", value, "\r\n" }, read_number)
    end
end

function memcached.delete(self, key)
    return ask(self, { "delete ", self.escape_key(key), "\r\n" }, read_deleted)
end

function memcached.touch(self, key, exptime)
    return ask(self, { "touch ", self.escape_key(key), " ", exptime, "\r\n" }, read_touched)
end

function memcached.flush_all(self, time)
    return ask_now(self, time and { "flush_all ", time, "\r\n" } or { "flush_all\r\n" }, read_ok)
end

function memcached.stats(self, args)
    return ask(self, args and { "stats ", args, "\r\n" } or { "stats\r\n" }, read_stats)
end

function memcached.version(self)
    return ask_now(self, { "version\r\n" }, read_version)
end

function memcached.verbosity(self, level)
    return ask(self, { "verbosity ", level, "\r\n" }, read_ok)
end

function memcached.quit(self)
    return ask_now(self, { "quit\r\n" }, function()
        return 1
    end)
end

-- OpenResty's answers with the error alone.
function memcached.init_pipeline(self, size)
    if self._reqs then
        return "already init pipeline"
    end
    if size and type(size) ~= "number" then
        return "bad n arg: number expected, but got " .. type(size)
    end
    self._reqs, self._readers = new_tab(size or 4, 0), new_tab(size or 4, 0)
end

function memcached.cancel_pipeline(self)
    self._reqs, self._readers = nil, nil
end

function memcached.commit_pipeline(self)
    local queue, readers, sock = self._reqs, self._readers, self.sock
    self._reqs, self._readers = nil, nil
    if not queue then
        return nil, "no pipeline"
    elseif not sock then
        return nil, "not initialized"
    elseif #readers == 0 then
        return nil, "no more cmds"
    end
    local bytes, err = sock:send(queue)
    if not bytes then
        return nil, err
    end
    local results = new_tab(#readers, 0)
    for i = 1, #readers do
        results[i] = { readers[i](sock) }
    end
    return results
end

return memcached
