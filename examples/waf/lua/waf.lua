-- Goes through the rules; the first that fits refuses the request.
local rules = require "rules"

local mode = "refuse"
local LARGEST_FORM = 64 * 1024

local function fits(rule, text)
    local found, _, err = ngx.re.find(text, rule.regex, "ijo")
    if err then
        ngx.log(ngx.ERR, "rule ", rule.name, ": ", err)
    end
    return found
end

-- Names and values of arguments, each of which may be there several times.
local function fits_args(rule, args)
    for name, values in pairs(args) do
        if fits(rule, name) then
            return true
        end
        for _, value in ipairs(type(values) == "table" and values or { values }) do
            if type(value) == "string" and fits(rule, value) then
                return true
            end
        end
    end
end

local function form()
    local kind, length = ngx.var.content_type, tonumber(ngx.var.content_length)
    if not kind or not kind:find("application/x-www-form-urlencoded", 1, true) or not length or length > LARGEST_FORM then
        return {}
    end
    ngx.req.read_body()
    return ngx.req.get_post_args() or {}
end

local waf = {}

function waf.check()
    local args, posted = ngx.req.get_uri_args(), form()
    for _, rule in ipairs(rules) do
        local found
        if rule.where == "args" then
            found = fits_args(rule, args) or fits_args(rule, posted)
        elseif rule.where == "path" then
            found = fits(rule, ngx.var.uri)
        else
            found = fits(rule, ngx.req.get_headers()[rule.where] or "")
        end
        if found then
            ngx.log(ngx.WARN, "rule \"", rule.name, "\" fits ", ngx.var.request_uri)
            if mode == "refuse" then
                return ngx.exit(ngx.HTTP_FORBIDDEN)
            end
            return
        end
    end
end

return waf
