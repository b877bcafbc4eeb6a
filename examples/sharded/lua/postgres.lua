-- A small client for PostgreSQL (protocol 3.0): statements with parameters, for servers that ask for no password ("trust", or "peer" on a Unix
-- socket).
local bit = require "bit"

local function int32(number)
    return string.char(bit.band(bit.rshift(number, 24), 255), bit.band(bit.rshift(number, 16), 255), bit.band(bit.rshift(number, 8), 255),
        bit.band(number, 255))
end

local function int16(number)
    return string.char(bit.rshift(number, 8), bit.band(number, 255))
end

local function number(text, at, bytes)
    local value = 0
    for i = at, at + bytes - 1 do
        value = value * 256 + text:byte(i)
    end
    return value
end

local function message(kind, body)
    return kind .. int32(#body + 4) .. body
end

local postgres = {}
postgres.__index = postgres

local function receive(sock)
    local head, err = sock:receive(5)
    if not head then
        return nil, err
    end
    local length = number(head, 2, 4) - 4
    if length == 0 then
        return head:sub(1, 1), ""
    end
    local body, err = sock:receive(length)
    if not body then
        return nil, err
    end
    return head:sub(1, 1), body
end

-- What an error or a notice says.
local function text_of(body)
    return body:match("%zM([^%z]*)") or body:match("^M([^%z]*)") or "unknown error"
end

local function row(body)
    local values, at = {}, 3
    for i = 1, number(body, 1, 2) do
        local length = number(body, at, 4)
        at = at + 4
        if length < 4294967295 then
            values[i] = body:sub(at, at + length - 1)
            at = at + length
        end
    end
    return values
end

-- Rows up to the server's word that it is ready.
local function rows(sock)
    local found, failed = {}, nil
    while true do
        local kind, body = receive(sock)
        if not kind then
            return nil, body, true
        elseif kind == "D" then
            found[#found + 1] = row(body)
        elseif kind == "E" then
            failed = text_of(body)
        elseif kind == "R" and number(body, 1, 4) ~= 0 then
            return nil, "the server wants a password", true
        elseif kind == "Z" then
            if failed then
                return nil, failed
            end
            return found
        end
    end
end

function postgres.connect(options)
    local sock = ngx.socket.tcp()
    sock:settimeouts(500, 2000, 2000)
    local ok, err = sock:connect(options.host, options.port, { pool = "postgres" })
    if not ok then
        return nil, err
    end
    if sock:getreusedtimes() == 0 then
        local body = int32(196608) .. "user\0" .. options.user .. "\0database\0" .. options.database .. "\0\0"
        local ok, err = sock:send(int32(#body + 4) .. body)
        if not ok then
            return nil, err
        end
        local ready, err = rows(sock)
        if not ready then
            sock:close()
            return nil, err
        end
    end
    return setmetatable({ sock = sock }, postgres)
end

-- Runs one statement with parameters $1, $2, ...: a list of rows, each a list of texts.
function postgres:query(sql, ...)
    local bind = { "\0\0", int16(0), int16(select("#", ...)) }
    for i = 1, select("#", ...) do
        local value = tostring((select(i, ...)))
        bind[#bind + 1] = int32(#value) .. value
    end
    bind[#bind + 1] = int16(0)
    local ok, err = self.sock:send({
        message("P", "\0" .. sql .. "\0" .. int16(0)), message("B", table.concat(bind)), message("E", "\0" .. int32(0)), message("S", ""),
    })
    if not ok then
        self.broken = true
        return nil, err
    end
    local found, err, broken = rows(self.sock)
    self.broken = broken
    return found, err
end

function postgres:done()
    if self.broken then
        self.sock:close()
    else
        self.sock:setkeepalive(10000, 16)
    end
end

-- One statement on a connection of the pool.
function postgres.run(options, sql, ...)
    local db, err = postgres.connect(options)
    if not db then
        return nil, err
    end
    local found, err = db:query(sql, ...)
    db:done()
    return found, err
end

return postgres
