-- HMAC (RFC 2104) with SHA-256.
local bit = require "bit"
local resty_sha256 = require "resty.sha256"

local BLOCK = 64

local function sha256(...)
    local sum = resty_sha256:new()
    for i = 1, select("#", ...) do
        sum:update((select(i, ...)))
    end
    return sum:final()
end

local function padded(key, byte)
    return (key:gsub(".", function(c)
        return string.char(bit.bxor(c:byte(), byte))
    end)) .. string.rep(string.char(byte), BLOCK - #key)
end

local hmac = {}

function hmac.sha256(key, text)
    if #key > BLOCK then
        key = sha256(key)
    end
    return sha256(padded(key, 0x5c), sha256(padded(key, 0x36), text))
end

-- Looks at all bytes whatever differs, so that time tells nothing.
function hmac.equal(a, b)
    if #a ~= #b then
        return false
    end
    local differs = 0
    for i = 1, #a do
        differs = bit.bor(differs, bit.bxor(a:byte(i), b:byte(i)))
    end
    return differs == 0
end

return hmac
