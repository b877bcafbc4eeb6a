local b = ...
local ngx, G = b.ngx, b.G
local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local format, gsub, byte, char = string.format, string.gsub, string.byte, string.char
local tonumber, find, sub, rep, lower = tonumber, string.find, string.sub, string.rep, string.lower
local gmatch, floor, concat = string.gmatch, math.floor, table.concat

-- Base32 with the digits 0-9 a-v, padded (RFC 4648, 7).
local digits = "0123456789abcdefghijklmnopqrstuv"

local function encode_base32(s)
    local out, bits, count = {}, 0, 0
    for i = 1, #s do
        bits, count = bits * 256 + byte(s, i), count + 8
        while count >= 5 do
            count = count - 5
            local digit = floor(bits / 2 ^ count)
            bits = bits - digit * 2 ^ count
            out[#out + 1] = sub(digits, digit + 1, digit + 1)
        end
    end
    if count > 0 then
        local digit = bits * 2 ^ (5 - count)
        out[#out + 1] = sub(digits, digit + 1, digit + 1)
    end
    return concat(out) .. rep("=", -#out % 8)
end

local function decode_base32(s)
    local out, bits, count = {}, 0, 0
    for digit in gmatch(lower(gsub(s, "=+$", "")), ".") do
        local value = find(digits, digit, 1, true)
        if not value then
            return ""
        end
        bits, count = bits * 32 + value - 1, count + 5
        if count >= 8 then
            count = count - 8
            local b = floor(bits / 2 ^ count)
            bits = bits - b * 2 ^ count
            out[#out + 1] = char(b)
        end
    end
    return concat(out)
end

-- The functions behind set-misc's directives, called by their names.
local functions = {
    set_escape_uri = function(s)
        return ngx.escape_uri(s)
    end,
    set_unescape_uri = function(s)
        return ngx.unescape_uri(s)
    end,
    set_quote_sql_str = function(s)
        return ngx.quote_sql_str(s)
    end,
    set_md5 = function(s)
        return ngx.md5(s)
    end,
    set_sha1 = function(s)
        return (gsub(ngx.sha1_bin(s), ".", function(c)
            return format("%02x", byte(c))
        end))
    end,
    set_encode_base64 = function(s)
        return ngx.encode_base64(s)
    end,
    set_decode_base64 = function(s)
        return ngx.decode_base64(s)
    end,
    set_encode_base32 = function(s)
        return encode_base32(s)
    end,
    set_decode_base32 = function(s)
        return decode_base32(s)
    end,
    set_encode_hex = function(s)
        return (gsub(s, ".", function(c)
            return format("%02x", byte(c))
        end))
    end,
    set_decode_hex = function(s)
        if #s % 2 ~= 0 or find(s, "%X") then
            return nil
        end
        return (gsub(s, "..", function(digits)
            return char(tonumber(digits, 16))
        end))
    end,
}

local set_var = setmetatable({}, {
    __index = function(_, name)
        if type(name) ~= "string" then
            name = tostring(name)
        end
        local f = functions[name]
        if not f then
            error('ndk.set_var: directive "' .. name .. '" not found or does not use ndk_set_var_value', 2)
        end
        return function(s)
            local result = f(tostring(s))
            if not result then
                G.package.loaded["ngx.errlog"].raw_log(ngx.ERR, name .. ": invalid value")
                error("calling directive " .. name .. " failed with code -1", 2)
            end
            return result
        end
    end,
    __newindex = function()
        error("not allowed", 2)
    end,
})
G.ndk = { set_var = set_var }
G.package.loaded.ndk = G.ndk
