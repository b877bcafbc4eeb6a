local b = ...
local C, R, cx, text, ngx = b.C, b.R, b.cx, b.text, b.ngx
local type, tostring = type, tostring
local md5, md5_bin, sha1_bin, crc32 = C.md5, C.md5_bin, C.sha1_bin, C.crc32

local function bytes(s)
    if type(s) == "string" then
        return s
    end
    return s and tostring(s) or ""
end

function ngx.md5(s)
    s = bytes(s)
    md5(cx, s, #s)
    return text()
end

function ngx.md5_bin(s)
    s = bytes(s)
    md5_bin(cx, s, #s)
    return text()
end

function ngx.sha1_bin(s)
    s = bytes(s)
    sha1_bin(cx, s, #s)
    return text()
end

function ngx.crc32_short(s)
    s = bytes(s)
    return crc32(cx, s, #s)
end

ngx.crc32_long = ngx.crc32_short
ngx.hmac_sha1 = R.hmac_sha1
b.G.package.loaded["resty.core.hash"] = { version = "0.1.33" }
