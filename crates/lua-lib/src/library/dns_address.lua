-- Text of addresses, for `resty.dns.resolver`.
local find, gsub, sub, rep, reverse, concat = string.find, string.gsub, string.sub, string.rep, string.reverse, table.concat
local re_sub = ngx.re.sub

local address = {}

function address.compress(text)
    local short = re_sub(text, "^(0:)+|(:0)+$|:(0:)+", "::", "jo")
    return short == "::0" and "::" or short
end

function address.expand(text)
    local from = find(text, "::", 1, true)
    if not from then
        return text
    end
    local _, colons = gsub(text, ":", "")
    local left, right = sub(text, 1, from - 1), sub(text, from + 2)
    return (left == "" and "0" or left) .. ":" .. rep("0:", 8 - colons) .. (right == "" and "0" or right)
end

-- The name under which an address's own names are asked for.
function address.arpa(text)
    if not find(text, ":", 1, true) then
        return (gsub(text, "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)", "%4.%3.%2.%1.in-addr.arpa"))
    end
    local digits = {}
    for group in string.gmatch(address.expand(text), "[^:]+") do
        digits[#digits + 1] = rep("0", 4 - #group) .. group
    end
    return (gsub(reverse(concat(digits)), ".", "%0.")) .. "ip6.arpa"
end

return address
