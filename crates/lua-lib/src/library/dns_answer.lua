-- Reads a name server's answer (RFC 1035), for `resty.dns.resolver`.
local ngx, byte, sub, format, concat, band = ngx, string.byte, string.sub, string.format, table.concat, require "bit".band
local log, DEBUG = ngx.log, ngx.DEBUG

local answer = {}

local AN, NS, AR = 1, 2, 3
local TYPE_SOA = 6
local errors = { "format error", "server failure", "name error", "not implemented", "refused" }

-- More pointers than this in a name are a loop.
local POINTERS = 128

local function two(data, at)
    local high, low = byte(data, at, at + 1)
    return low and high * 256 + low
end

local function four(data, at)
    local a, b, c, d = byte(data, at, at + 3)
    return d and ((a * 256 + b) * 256 + c) * 256 + d
end

-- A name and where the bytes behind it start, or nil and an error.
local function read_name(data, at)
    local labels, pointers, behind = {}, 0, nil
    while pointers < POINTERS do
        local size = byte(data, at)
        if not size then
            return nil, "truncated"
        elseif size == 0 then
            behind = behind or at + 1
            break
        elseif size >= 0x40 then
            local to = two(data, at)
            if not to then
                return nil, "truncated"
            end
            behind, pointers, at = behind or at + 2, pointers + 1, to % 0x4000 + 1
        else
            labels[#labels + 1] = sub(data, at + 1, at + size)
            at = at + size + 1
        end
    end
    return concat(labels, "."), behind
end

local read = {}

-- A record that is one name, behind `skip` bytes; `kind` is for the message.
local function read_one_name(field, kind, skip)
    return function(record, data, at, size)
        local name, behind = read_name(data, at + skip)
        if not name then
            return behind
        elseif behind - at ~= size then
            return format("bad %s record length: %d ~= %d", kind, behind - at, size)
        end
        record[field] = name
    end
end

read[2] = read_one_name("nsdname", "cname", 0)
read[5] = read_one_name("cname", "cname", 0)
read[12] = read_one_name("ptrdname", "cname", 0)
local read_exchange, read_target = read_one_name("exchange", "cname", 2), read_one_name("target", "srv", 6)

-- What records of these types must have: at least so many bytes, at most so many, and the type for the message.
local sizes = { [1] = { 4, 4, "A" }, [28] = { 16, 16, "AAAA" }, [15] = { 3, 0xffff, "MX" }, [33] = { 7, 0xffff, "SRV" } }

read[1] = function(record, data, at)
    record.address = format("%d.%d.%d.%d", byte(data, at, at + 3))
end

read[28] = function(record, data, at)
    local groups = {}
    for i = 0, 7 do
        groups[i + 1] = format("%x", two(data, at + 2 * i))
    end
    record.address = concat(groups, ":")
end

read[15] = function(record, data, at, size)
    record.preference = two(data, at)
    return read_exchange(record, data, at, size)
end

read[33] = function(record, data, at, size)
    record.priority, record.weight, record.port = two(data, at), two(data, at + 2), two(data, at + 4)
    return read_target(record, data, at, size)
end

-- One string, or a list of them; one that is longer than its record ends with it.
local function read_texts(field)
    return function(record, data, at, size)
        local texts, last = {}, at + size
        repeat
            local length = byte(data, at) or 0
            if at + length + 1 > last then
                length = #texts == 0 and size or last - at - 1
            end
            texts[#texts + 1] = sub(data, at + 1, at + length)
            at = at + length + 1
        until at >= last
        record[field] = #texts == 1 and texts[1] or texts
    end
end

read[16], read[99] = read_texts("txt"), read_texts("spf")

read[TYPE_SOA] = function(record, data, at)
    local behind
    record.mname, behind = read_name(data, at)
    if not record.mname then
        return behind
    end
    record.rname, behind = read_name(data, behind)
    if not record.rname then
        return behind
    end
    for _, field in ipairs { "serial", "refresh", "retry", "expire", "minimum" } do
        record[field] = four(data, behind)
        if not record[field] then
            return "truncated"
        end
        behind = behind + 4
    end
end

-- One record and where the next starts, or nil and an error.
local function read_record(data, at, section)
    local name, behind = read_name(data, at)
    if not name then
        return nil, behind
    end
    local size, kind = two(data, behind + 8), two(data, behind)
    local allowed = sizes[kind]
    if not size then
        return nil, "truncated"
    elseif allowed and (size < allowed[1] or size > allowed[2]) then
        return nil, "bad " .. allowed[3] .. " record value length: " .. size
    elseif behind + 9 + size > #data then
        return nil, "truncated"
    end
    local record = { section = section, name = name, type = kind, class = two(data, behind + 2), ttl = four(data, behind + 4) }
    local value = behind + 10
    if read[kind] then
        local err = read[kind](record, data, value, size)
        if err then
            return nil, err
        end
    else
        record.rdata = sub(data, value, value + size - 1)
    end
    return record, value + size
end

-- The records of a section, added to the answers unless it is only to be passed.
local function read_section(answers, data, at, section, count, wanted)
    for _ = 1, count do
        local record, behind = read_record(data, at, section)
        if not record then
            return nil, behind
        end
        if wanted then
            answers[#answers + 1] = record
        end
        at = behind
    end
    return at
end

-- Where the answers start, and the code, by a head that is an answer to the question `id`; or nil and an error.
local function read_head(data, id)
    if #data < 12 then
        return nil, "truncated"
    end
    local found, flags, questions = two(data, 1), two(data, 3), two(data, 5)
    if found ~= id then
        log(DEBUG, "id mismatch in the DNS reply: ", found, " ~= ", id)
        return nil, "id mismatch"
    elseif flags < 0x8000 then
        return nil, "bad QR flag in the DNS response"
    elseif band(flags, 0x200) ~= 0 then
        return nil, "truncated"
    elseif questions ~= 1 then
        return nil, format("bad number of questions in DNS response: %d", questions)
    end
    local name, behind = read_name(data, 13)
    if not name then
        return nil, behind
    elseif behind + 3 + two(data, 7) * 12 > #data then
        return nil, "truncated"
    end
    local class = two(data, behind + 2)
    if class ~= 1 then
        return nil, format("unknown query class %d in DNS response", class)
    end
    return behind + 4, flags % 16
end

function answer.parse(data, id, opts)
    local at, code = read_head(data, id)
    if not at then
        return nil, code
    end
    local answers = {}
    if code ~= 0 then
        answers.errcode, answers.errstr = code, errors[code] or "unknown"
    end
    local additional = opts and opts.additional_section
    local authority = opts and (opts.authority_section or opts.qtype == TYPE_SOA)
    local err
    at, err = read_section(answers, data, at, AN, two(data, 7), true)
    if at and (authority or additional) then
        at, err = read_section(answers, data, at, NS, two(data, 9), authority)
    end
    if at and additional then
        at, err = read_section(answers, data, at, AR, two(data, 11), true)
    end
    if not at then
        return nil, err
    end
    return answers
end

return answer
