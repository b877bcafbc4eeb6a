local b = ...
local R, G = b.R, b.G
local type, error, setmetatable, rep, sub = type, error, setmetatable, string.rep, string.sub

-- Bytes of the initial vector that OpenSSL derives.
local vectors = { ecb = 0, gcm = 12 }

local aes = {
    _VERSION = "0.17",
    hash = { md5 = K.MD5, sha1 = K.SHA1, sha224 = K.SHA224, sha256 = K.SHA256, sha384 = K.SHA384, sha512 = K.SHA512 },
}
local meta = { __index = aes }

function aes.cipher(size, name)
    size, name = size or 128, name or "cbc"
    if (size ~= 128 and size ~= 192 and size ~= 256) or not R.aes_is_mode(name) then
        return nil
    end
    return { size = size, cipher = name, method = name }
end

-- The key and the vector that the caller gives.
local function given(key, hash, length)
    local iv = hash.iv
    if not iv then
        return nil, "iv is needed"
    end
    if #iv > length then
        return nil, "bad iv length"
    end
    if hash.method then
        key = hash.method(key)
    end
    if #key ~= length then
        return nil, "bad key length"
    end
    return key, iv
end

function aes.new(_, key, salt, cipher, hash, rounds, iv_length, padding)
    cipher, hash = cipher or aes.cipher(), hash or aes.hash.md5
    local length, iv = cipher.size / 8, nil
    if type(hash) == "table" then
        key, iv = given(key, hash, length)
        if not key then
            return nil, iv
        end
    else
        if salt and #salt ~= 8 then
            return nil, "salt must be 8 characters or nil"
        end
        local bytes = R.aes_derive(hash, key, salt, rounds or 1, length + (vectors[cipher.cipher] or 16))
        key, iv = sub(bytes, 1, length), sub(bytes, length + 1)
        if cipher.cipher == "gcm" then
            iv_length = iv_length or length
            iv = sub(iv .. rep("\0", iv_length), 1, iv_length)
        end
    end
    return setmetatable({ _cipher = cipher.cipher, _key = key, _iv = iv, _padding = padding == nil or not not padding }, meta)
end

local function check(self)
    if type(self) ~= "table" then
        error("bad argument #1 self: table expected, got " .. type(self), 3)
    end
end

function aes.encrypt(self, s, extra)
    check(self)
    local out, tag = R.aes_encrypt(self._cipher, self._key, self._iv, self._padding, s, extra)
    if not out then
        return nil, "EVP_EncryptFinal_ex failed"
    end
    if tag then
        return { out, tag }
    end
    return out
end

function aes.decrypt(self, s, tag, extra)
    check(self)
    local out = R.aes_decrypt(self._cipher, self._key, self._iv, self._padding, s, extra, tag)
    if not out then
        return nil, "EVP_DecryptFinal_ex failed"
    end
    return out
end

G.package.loaded["resty.aes"] = aes
