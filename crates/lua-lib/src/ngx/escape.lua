local b = ...
local C, R, cx, text, ngx = b.C, b.R, b.cx, b.text, b.ngx
local type, error, tostring = type, error, tostring
local escape, unescape = C.escape_uri, C.unescape_uri

function ngx.escape_uri(s, class)
    if type(s) ~= "string" then
        s = s and tostring(s) or ""
    end
    if class == nil then
        class = K.COMPONENT
    elseif type(class) ~= "number" then
        error('"type" is not a number', 3)
    elseif class < 0 or class > K.LAST_CLASS then
        error('"type" ' .. class .. " out of range", 3)
    end
    if escape(cx, s, #s, class) then
        return text()
    end
    return s
end

function ngx.unescape_uri(s)
    if type(s) ~= "string" then
        s = s and tostring(s) or ""
    end
    if unescape(cx, s, #s) then
        return text()
    end
    return s
end

ngx.quote_sql_str = R.quote_sql_str
b.G.package.loaded["resty.core.uri"] = { version = "0.1.33" }
