local b = ...
local C, cx, text, ngx = b.C, b.cx, b.text, b.ngx
local type, error, tostring = type, error, tostring
local encode, decode = C.encode_base64, C.decode_base64
local loaded = b.G.package.loaded

function ngx.encode_base64(s, no_padding)
    if type(s) ~= "string" then
        s = s and tostring(s) or ""
    end
    if no_padding and no_padding ~= true then
        error("bad no_padding: boolean expected, got " .. type(no_padding), 2)
    end
    encode(cx, s, #s, no_padding and K.NO_PADDING or K.PLAIN)
    return text()
end

function ngx.decode_base64(s)
    if type(s) ~= "string" then
        error("string argument only", 2)
    end
    if not decode(cx, s, #s, K.PLAIN) then
        return nil
    end
    return text()
end

function ngx.decode_base64mime(s)
    if type(s) ~= "string" then
        error("string argument only", 2)
    end
    if not decode(cx, s, #s, K.MIME) then
        return nil
    end
    return text()
end

local version = "0.1.33"
loaded["resty.core.base64"] = { version = version }
loaded["ngx.base64"] = {
    version = version,
    encode_base64url = function(s)
        if type(s) ~= "string" then
            return nil, "must provide a string"
        end
        encode(cx, s, #s, K.URL)
        return text()
    end,
    decode_base64url = function(s)
        if type(s) ~= "string" then
            return nil, "must provide a string"
        end
        if not decode(cx, s, #s, K.URL) then
            return nil, "invalid input"
        end
        return text()
    end,
}
