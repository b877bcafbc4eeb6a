-- Frames of WebSocket (RFC 6455; README of lua-resty-websocket).
local ngx, tostring, byte, char, sub, random = ngx, tostring, string.byte, string.char, string.sub, math.random
local ffi, bit = require "ffi", require "bit"
local band, bor, bxor, rshift = bit.band, bit.bor, bit.bxor, bit.rshift
local log, DEBUG, debug = ngx.log, ngx.DEBUG, ngx.config.debug

local protocol = { _VERSION = "0.13", new_tab = require "table.new" }

local CLOSE = 8
local names = {
    [0] = "continuation", [1] = "text", [2] = "binary", [CLOSE] = "close", [9] = "ping", [10] = "pong",
}

-- A buffer that usual frames share; a longer one gets its own.
local KEPT = 4096
local buffer_type = ffi.typeof "uint8_t[?]"
local buffer = buffer_type(KEPT)

-- The bytes of `data` behind `skip`, masked or unmasked with the first four bytes of `key`.
local function mask(data, skip, size, key)
    local out = size > KEPT and buffer_type(size) or buffer
    local a, b, c, d = byte(key, 1, 4)
    for i = 0, size - 1 do
        out[i] = bxor(byte(data, skip + i + 1), a)
        a, b, c, d = b, c, d, a
    end
    return ffi.string(out, size)
end

local function failed(what, err)
    return nil, nil, "failed to " .. what .. ": " .. (err or "unknown")
end

-- How long the payload is, by the seven bits of the head and the bytes behind it.
local function read_length(sock, length)
    if length == 126 then
        local data, err = sock:receive(2)
        if not data then
            return failed("receive the 2 byte payload length", err)
        end
        local high, low = byte(data, 1, 2)
        return high * 256 + low
    elseif length == 127 then
        local data, err = sock:receive(8)
        if not data then
            return failed("receive the 8 byte payload length", err)
        end
        local a, b, c, d, e, f, g, h = byte(data, 1, 8)
        if a + b + c + d ~= 0 or e >= 0x80 then
            return nil, nil, "payload len too large"
        end
        return ((e * 256 + f) * 256 + g) * 256 + h
    end
    return length
end

-- What is wrong with a head.
local function check(first, masked, force_masking)
    local opcode = band(first, 0x0f)
    if band(first, 0x70) ~= 0 then
        return "bad RSV1, RSV2, or RSV3 bits"
    elseif not names[opcode] then
        return opcode < CLOSE and "reserved non-control frames" or "reserved control frames"
    end
    if debug then
        log(DEBUG, "recv_frame: mask bit: ", masked and 1 or 0)
    end
    if force_masking and not masked then
        return "frame unmasked"
    end
end

local function check_length(opcode, fin, length, most)
    if opcode >= CLOSE then
        if length > 125 then
            return "too long payload for control frame"
        elseif not fin then
            return "fragmented control frame"
        end
    end
    if length > most then
        return "exceeding max payload len"
    end
end

local function close_message(payload)
    local size = #payload
    if size == 0 then
        return "", "close", nil
    elseif size < 2 then
        return nil, nil, "close frame with a body must carry a 2-byte status code"
    end
    local high, low = byte(payload, 1, 2)
    return sub(payload, 3), "close", high * 256 + low
end

function protocol.recv_frame(sock, max_payload_len, force_masking)
    local head, err = sock:receive(2)
    if not head then
        return failed("receive the first 2 bytes", err)
    end
    local first, second = byte(head, 1, 2)
    local masked, opcode, fin = second >= 0x80, band(first, 0x0f), first >= 0x80
    local wrong = check(first, masked, force_masking)
    if wrong then
        return nil, nil, wrong
    end
    local length, _, bad = read_length(sock, band(second, 0x7f))
    bad = bad or check_length(opcode, fin, length, max_payload_len)
    if bad then
        return nil, nil, bad
    end
    local payload, size = "", masked and length + 4 or length
    if size > 0 then
        payload, err = sock:receive(size)
        if not payload then
            return failed("read masking-len and payload", err)
        end
    end
    if masked then
        payload = mask(payload, 4, length, payload)
    end
    if opcode == CLOSE then
        return close_message(payload)
    end
    return payload, names[opcode], not fin and "again" or nil
end

local function long(number)
    return char(band(rshift(number, 24), 0xff), band(rshift(number, 16), 0xff), band(rshift(number, 8), 0xff), band(number, 0xff))
end

function protocol.build_frame(fin, opcode, length, payload, masking)
    local second, extra = length, ""
    if length > 0x7fffffff then
        return nil, "payload too big"
    elseif length > 65535 then
        second, extra = 127, "\0\0\0\0" .. long(length)
    elseif length > 125 then
        second, extra = 126, char(rshift(length, 8), band(length, 0xff))
    end
    local key = ""
    if masking then
        second, key = bor(second, 0x80), long(random(0xffffffff))
        payload = mask(payload, 0, length, key)
    end
    return char(fin and bor(opcode, 0x80) or opcode, second) .. extra .. key .. payload
end

function protocol.send_frame(sock, fin, opcode, payload, max_payload_len, masking)
    payload = payload and tostring(payload) or ""
    local length = #payload
    if length > max_payload_len then
        return nil, "payload too big"
    end
    if band(opcode, 0x8) ~= 0 then
        if length > 125 then
            return nil, "too much payload for control frame"
        elseif not fin then
            return nil, "fragmented control frame"
        end
    end
    local frame, err = protocol.build_frame(fin, opcode, length, payload, masking)
    if not frame then
        return nil, "failed to build frame: " .. err
    end
    local bytes
    bytes, err = sock:send(frame)
    if not bytes then
        return nil, "failed to send frame: " .. err
    end
    return bytes
end

return protocol
