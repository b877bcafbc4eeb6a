-- Reads Resty-DBD-Stream data (README of lua-rds-parser).
local ngx, type, error, tonumber, byte, sub, floor, band = ngx, type, error, tonumber, string.byte, string.sub, math.floor, require "bit".band

local parser = { _VERSION = "0.05", null = ngx.null }

local VERSION, NULL = 3, 0xffffffff
local INTEGER, FLOAT, BOOLEAN = 0x0000, 0x4000, 0xc000

local function integer(data, at, size)
    local value = 0
    for i = at + size - 1, at, -1 do
        value = value * 256 + byte(data, i)
    end
    return value
end

-- The head: its result, the number of columns, and where they start.
local function read_head(data)
    if #data < 30 then
        return nil, "header part is incomplete"
    end
    local version, kind, size = integer(data, 2, 4), byte(data, 6), integer(data, 11, 2)
    if version ~= VERSION then
        return nil, "found RDS format version " .. version .. ", but we can only handle version " .. VERSION
    elseif kind ~= 0 then
        return nil, "RDS result type must be 0 for now but got " .. kind
    elseif #data < 30 + size then
        return nil, "header part is incomplete"
    end
    local affected, inserted = integer(data, 13 + size, 8), integer(data, 21 + size, 8)
    return {
        errcode = integer(data, 7, 2), errstr = size > 0 and sub(data, 13, 12 + size) or nil,
        affected_rows = affected ~= 0 and affected or nil, insert_id = inserted ~= 0 and inserted or nil,
    }, integer(data, 29 + size, 2), 31 + size
end

local function read_columns(data, count, at)
    local columns = {}
    for i = 1, count do
        if #data < at + 5 then
            return nil, "column spec is incomplete"
        end
        local size = integer(data, at + 4, 2)
        if size == 0 then
            return nil, "column name empty"
        elseif #data < at + 5 + size then
            return nil, "column name string is incomplete"
        end
        columns[i] = { kind = band(integer(data, at, 2), 0xc000), name = sub(data, at + 6, at + 5 + size) }
        at = at + 6 + size
    end
    return columns, at
end

local booleans = { ["0"] = false, f = false, F = false, ["1"] = true, t = true, T = true }

local function convert(text, kind)
    if kind == FLOAT then
        return tonumber(text) or 0
    elseif kind == INTEGER then
        local number = tonumber(text) or 0
        return number < 0 and -floor(-number) or floor(number)
    elseif kind == BOOLEAN then
        return booleans[sub(text, 1, 1)]
    end
    return text
end

-- One field and where the next starts, or nil and an error.
local function read_field(data, at, kind, row, column)
    local function place(offset)
        return " at offset " .. offset - 1 .. ", row " .. row .. ", col " .. column
    end
    if #data < at + 3 then
        return nil, "field size is incomplete" .. place(at)
    end
    local size = integer(data, at, 4)
    at = at + 4
    if size == NULL then
        return parser.null, at
    elseif #data < at + size - 1 then
        return nil, "field value is incomplete" .. place(at)
    end
    local value = convert(sub(data, at, at + size - 1), kind)
    if value == nil then
        return nil, "unrecognized boolean value" .. place(at)
    end
    return value, at + size
end

local function read_rows(data, columns, at)
    local rows = {}
    while true do
        local flag, number = byte(data, at), #rows + 1
        at = at + 1
        if not flag then
            return nil, "row flag is incomplete"
        elseif flag == 0 then
            if at <= #data then
                return nil, "seen unexpected leve-over data bytes at offset " .. at - 1 .. ", row " .. number
            end
            return rows
        end
        local row = {}
        for i, column in ipairs(columns) do
            local value
            value, at = read_field(data, at, column.kind, number, i)
            if value == nil then
                return nil, at
            end
            row[column.name] = value
        end
        rows[number] = row
    end
end

function parser.parse(data)
    if type(data) ~= "string" then
        error("bad argument #1 to 'parse' (string expected, got " .. (data == nil and "no value" or type(data)) .. ")", 2)
    end
    local result, count, at = read_head(data)
    if not result then
        return nil, count
    elseif count == 0 then
        return result
    end
    local columns
    columns, at = read_columns(data, count, at)
    if not columns then
        return nil, at
    end
    local rows, err = read_rows(data, columns, at)
    if not rows then
        return nil, err
    end
    result.resultset = rows
    return result
end

return parser
