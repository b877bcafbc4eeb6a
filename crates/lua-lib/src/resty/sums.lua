local b = ...
local C, R, cx, text, G = b.C, b.R, b.cx, b.text, b.G
local type, tostring, error, setmetatable = type, tostring, error, setmetatable
local ffi = require "ffi"
local preload = G.package.preload

-- Numbers of sums whose objects are gone.
local note, noted = b.finalized()
local number = ffi.typeof("struct { double id; }")
local function finalize(object)
    note(object.id)
end

local function begin(kind)
    local dead = noted()
    for i = 1, dead and #dead or 0 do
        C.sum_free(cx, dead[i])
    end
    local object = number()
    object.id = C.sum_new(cx, kind)
    return ffi.gc(object, finalize)
end

local function module(kind)
    local sum = { _VERSION = "0.17" }
    local meta = { __index = sum }

    function sum.new()
        return setmetatable({ _ctx = begin(kind) }, meta)
    end

    function sum.update(self, s, length)
        if type(s) ~= "string" then
            s = tostring(s)
        end
        length = length or #s
        return (C.sum_update(cx, self._ctx.id, s, length < #s and length or #s))
    end

    function sum.final(self)
        if not C.sum_final(cx, self._ctx.id) then
            return nil
        end
        return text()
    end

    function sum.reset(self)
        return (C.sum_reset(cx, self._ctx.id))
    end

    return sum
end

for name, kind in pairs {
    md5 = K.MD5, sha1 = K.SHA1, sha224 = K.SHA224, sha256 = K.SHA256, sha384 = K.SHA384, sha512 = K.SHA512,
} do
    preload["resty." .. name] = function()
        return module(kind)
    end
end
preload["resty.sha"] = function()
    return { _VERSION = "0.17" }
end

preload["resty.random"] = function()
    return {
        _VERSION = "0.17",
        bytes = function(length)
            if not C.random(cx, length) then
                return nil
            end
            return text()
        end,
    }
end

preload["resty.string"] = function()
    return {
        _VERSION = "0.17",
        to_hex = function(s)
            C.to_hex(cx, s, #s)
            return text()
        end,
        atoi = function(s)
            return C.atoi(cx, s, #s)
        end,
    }
end
