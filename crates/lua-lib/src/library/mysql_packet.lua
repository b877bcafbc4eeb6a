-- The packets of MySQL's protocol, for `resty.mysql`.
local ngx, tonumber, byte, char, find, sub, floor = ngx, tonumber, string.byte, string.char, string.find, string.sub, math.floor
local new_tab, null = require "table.new", ngx.null

local packet = { new_tab = new_tab }

-- Columns of these types are numbers: decimal, tiny, short, long, float, double, int24, year, newdecimal. A 64-bit integer
-- stays a string, since a Lua number does not hold each of them.
local numeric = { [0] = true, true, true, true, true, true, [0x09] = true, [0x0d] = true, [0xf6] = true }

local kinds = { [0x00] = "OK", [0x01] = "AUTHMOREDATA", [0xfb] = "LOCALINFILE", [0xfe] = "EOF", [0xff] = "ERR" }

-- An integer of `size` bytes, the least significant first.
local function integer(data, at, size)
    local value = 0
    for i = at + size - 1, at, -1 do
        value = value * 256 + (byte(data, i) or 0)
    end
    return value
end

packet.integer = integer

-- The bytes of an integer, likewise.
function packet.bytes(value, size)
    local out = ""
    for _ = 1, size do
        out, value = out .. char(value % 256), floor(value / 256)
    end
    return out
end

-- Text up to a zero byte, and where the next field starts.
function packet.text(data, at)
    local last = find(data, "\0", at, true)
    if last then
        return sub(data, at, last - 1), last + 1
    end
end

-- An integer whose first byte says how long it is, or null.
local function length(data, at)
    local first = byte(data, at)
    if not first then
        return nil, at
    elseif first <= 250 then
        return first, at + 1
    elseif first == 251 then
        return null, at + 1
    elseif first == 252 then
        return integer(data, at + 1, 2), at + 3
    elseif first == 253 then
        return integer(data, at + 1, 3), at + 4
    elseif first == 254 then
        return integer(data, at + 1, 8), at + 9
    end
    return nil, at + 1
end

packet.length = length

local function string_of(data, at)
    local size
    size, at = length(data, at)
    if not size or size == null then
        return null, at
    end
    return sub(data, at, at + size - 1), at + size
end

function packet.send(self, data)
    self.packet_no = (self.packet_no or 0) + 1
    return self.sock:send { packet.bytes(#data, 3), char(self.packet_no % 256), data }
end

-- A packet and its kind, or nil, nil and an error.
function packet.receive(self)
    local sock = self.sock
    local head, err = sock:receive(4)
    if not head then
        return nil, nil, "failed to receive packet header: " .. err
    end
    local a, b, c, number = byte(head, 1, 4)
    local size = (c * 256 + b) * 256 + a
    if size == 0 then
        return nil, nil, "empty packet"
    elseif size > self._max_packet_size then
        return nil, nil, "packet size too big: " .. size
    end
    self.packet_no = number
    local data
    data, err = sock:receive(size)
    if not data then
        return nil, nil, "failed to read packet content: " .. err
    end
    return data, kinds[byte(data)] or "DATA"
end

-- The message, the number and the state of an error.
function packet.error(data)
    local number, at, state = integer(data, 2, 2), 4, nil
    if sub(data, at, at) == "#" then
        state, at = sub(data, at + 1, at + 5), at + 6
    end
    return sub(data, at), number, state
end

function packet.ok(data)
    local done, at = new_tab(0, 5), nil
    done.affected_rows, at = length(data, 2)
    done.insert_id, at = length(data, at)
    done.server_status, done.warning_count = integer(data, at, 2), integer(data, at + 2, 2)
    local message = string_of(data, at + 4)
    if message ~= null then
        done.message = message
    end
    return done
end

function packet.eof_status(data)
    return integer(data, 4, 2)
end

-- Catalog, schema, table, original table, name, original name; one byte, character set, length; the type.
function packet.column(data)
    local at, name, _ = 1, nil, nil
    for _ = 1, 4 do
        _, at = string_of(data, at)
    end
    name, at = string_of(data, at)
    _, at = string_of(data, at)
    return { name = name, type = byte(data, at + 7) }
end

function packet.row(data, columns, compact)
    local count, at = #columns, 1
    local row = compact and new_tab(count, 0) or new_tab(0, count)
    for i = 1, count do
        local value, column = nil, columns[i]
        value, at = string_of(data, at)
        if value ~= null and numeric[column.type] then
            value = tonumber(value)
        end
        row[compact and i or column.name] = value
    end
    return row
end

return packet
