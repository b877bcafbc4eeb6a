-- Who is asking: by API key or by token.
local cjson = require "cjson.safe"
local base64 = require "ngx.base64"
local hmac = require "hmac"
local resty_sha256 = require "resty.sha256"
local to_hex = require("resty.string").to_hex
local keys = require "keys"

local secret = os.getenv("JWT_SECRET")

local function refuse(challenge)
    ngx.header["WWW-Authenticate"] = challenge
    return ngx.exit(ngx.HTTP_UNAUTHORIZED)
end

local auth = {}

function auth.key()
    local sum = resty_sha256:new()
    sum:update(ngx.var.http_x_api_key or "")
    local user = keys[to_hex(sum:final())]
    if not user then
        return refuse("ApiKey")
    end
    ngx.ctx.user = user
end

-- The content of a good token; nil and what is wrong otherwise.
local function content(token)
    local head, body, signature = token:match("^([%w_-]+)%.([%w_-]+)%.([%w_-]*)$")
    if not head then
        return nil, "malformed"
    end
    local described = cjson.decode(base64.decode_base64url(head) or "")
    -- What the token says of its algorithm is a claim of whoever made it.
    if type(described) ~= "table" or described.alg ~= "HS256" then
        return nil, "bad algorithm"
    end
    if not secret or not hmac.equal(hmac.sha256(secret, head .. "." .. body), base64.decode_base64url(signature) or "") then
        return nil, "bad signature"
    end
    local claims = cjson.decode(base64.decode_base64url(body) or "")
    if type(claims) ~= "table" or type(claims.sub) ~= "string" or type(claims.exp) ~= "number" then
        return nil, "malformed"
    end
    if claims.exp <= ngx.time() then
        return nil, "expired"
    end
    return claims
end

function auth.token()
    local token = (ngx.var.http_authorization or ""):match("^[Bb]earer (%S+)$")
    if not token then
        return refuse("Bearer")
    end
    local claims, err = content(token)
    if not claims then
        return refuse('Bearer error="invalid_token", error_description="' .. err .. '"')
    end
    ngx.ctx.user = claims.sub
end

return auth
