-- Reads raw replies of Redis and makes raw requests (README of lua-redis-parser).
local ngx, type, error, select, tonumber, tostring = ngx, type, error, select, tonumber, tostring
local find, match, sub, concat = string.find, string.match, string.sub, table.concat

local parser = {
    _VERSION = "0.13", null = ngx.null, BAD_REPLY = 0, STATUS_REPLY = 1, ERROR_REPLY = 2, INTEGER_REPLY = 3, BULK_REPLY = 4, MULTI_BULK_REPLY = 5,
}
local names = { [0] = "bad reply", "status reply", "error reply", "integer reply", "bulk reply", "multi-bulk reply" }

-- A line and where the next byte is, or nil.
local function read_line(data, at)
    local last = find(data, "\r\n", at, true)
    if last then
        return sub(data, at, last - 1), last + 2
    end
end

-- A bulk, or null, and where the next byte is; nil if it is bad.
local function read_bulk(data, at)
    local line, behind = read_line(data, at)
    if not line then
        return nil
    elseif match(line, "^%-%d*$") then
        return parser.null, behind
    end
    local size = match(line, "^%d*$") and (tonumber(line) or 0)
    if not size or sub(data, behind + size, behind + size + 1) ~= "\r\n" then
        return nil
    end
    return sub(data, behind, behind + size - 1), behind + size + 2
end

local function read_bulks(data, at)
    local line, behind = read_line(data, at)
    if not line then
        return nil
    elseif match(line, "^%d*%-%d") then
        return parser.null, behind
    end
    local count = match(line, "^%d*$") and (tonumber(line) or 0)
    if not count then
        return nil
    end
    local list = {}
    for i = 1, count do
        local kind, value = sub(data, behind, behind), nil
        if kind == "$" then
            value, behind = read_bulk(data, behind + 1)
        elseif kind == "+" or kind == "-" or kind == ":" then
            value, behind = read_line(data, behind + 1)
        end
        if value == nil then
            return nil
        end
        list[i] = value ~= parser.null and value or nil
    end
    return list, behind
end

local function read_number(data, at)
    local line, behind = read_line(data, at)
    return line and (tonumber(line) or 0), behind
end

local readers = {
    ["+"] = { read_line, parser.STATUS_REPLY, "bad status reply" },
    ["-"] = { read_line, parser.ERROR_REPLY, "bad error reply" },
    [":"] = { read_number, parser.INTEGER_REPLY, "bad integer reply" },
    ["$"] = { read_bulk, parser.BULK_REPLY, "bad bulk reply" },
    ["*"] = { read_bulks, parser.MULTI_BULK_REPLY, "bad multi bulk reply" },
}

-- A reply, its type, and where the next starts; a bad one stays where it is.
local function read(data, at)
    if at > #data then
        return "empty reply", parser.BAD_REPLY, at
    end
    local reader = readers[sub(data, at, at)]
    if not reader then
        return "invalid reply", parser.BAD_REPLY, at
    end
    local value, behind = reader[1](data, at + 1)
    if value == nil then
        return reader[3], parser.BAD_REPLY, at
    elseif value == parser.null then
        value = nil
    end
    return value, reader[2], behind
end

local words = { "one argument", "two arguments" }

local function check(expected, name, kind, ...)
    local count, first = select("#", ...), (...)
    if count ~= expected then
        error((name == "typename" and "expecting " or "expected ") .. words[expected] .. " but got " .. count, 3)
    elseif type(first) ~= kind and not (kind == "string" and type(first) == "number") then
        error("bad argument #1 to '" .. name .. "' (" .. kind .. " expected, got " .. type(first) .. ")", 3)
    end
end

function parser.parse_reply(...)
    check(1, "parse_reply", "string", ...)
    local value, kind = read(tostring((...)), 1)
    return value, kind
end

function parser.parse_replies(...)
    check(2, "parse_replies", "string", ...)
    local data, count = ...
    if not tonumber(count) then
        error("bad argument #2 to 'parse_replies' (number expected, got " .. type(count) .. ")", 2)
    end
    local replies, at = {}, 1
    for i = 1, tonumber(count) do
        local value, kind
        value, kind, at = read(tostring(data), at)
        replies[i] = { value, kind }
    end
    return replies
end

function parser.typename(...)
    check(1, "typename", "number", ...)
    return names[(...)]
end

local function encode(value, i)
    local kind = type(value)
    if kind == "boolean" then
        return value and "$1\r\n1\r\n" or "$1\r\n0\r\n"
    elseif value == parser.null then
        return "$-1\r\n"
    elseif kind == "string" or kind == "number" then
        value = tostring(value)
        return "$" .. #value .. "\r\n" .. value .. "\r\n"
    end
    error("parameter " .. i .. " is not a string, number, redis.parser.null, or boolean value", 3)
end

function parser.build_query(...)
    check(1, "build_query", "table", ...)
    local args, pieces = (...), {}
    if #args == 0 then
        error("empty input param table", 2)
    end
    pieces[1] = "*" .. #args .. "\r\n"
    for i = 1, #args do
        pieces[i + 1] = encode(args[i], i)
    end
    return concat(pieces)
end

return parser
