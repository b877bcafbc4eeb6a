-- A few commands of Redis on a shared dictionary.
local values = ngx.shared.values
local sock = assert(ngx.req.socket(true))

local commands = {
    PING = function () return "+PONG\r\n" end,
    SET = function (key, value)
        local ok, err = values:set(key, value)
        return ok and "+OK\r\n" or "-ERR " .. err .. "\r\n"
    end,
    GET = function (key)
        local value = values:get(key)
        return value and "$" .. #value .. "\r\n" .. value .. "\r\n" or "$-1\r\n"
    end,
    INCR = function (key)
        local value, err = values:incr(key, 1, 0)
        return value and ":" .. value .. "\r\n" or "-ERR " .. err .. "\r\n"
    end,
}

-- How many, or how long; nil when the client has gone.
local function number(kind)
    local line = sock:receive()
    return line and tonumber(line:match("^%" .. kind .. "(%d%d?%d?%d?%d?%d?)$"))
end

local function read()
    local words = {}
    for place = 1, number("*") or 0 do
        local length = number("$")
        words[place] = length and sock:receive(length)
        if not words[place] or sock:receive(2) ~= "\r\n" then
            return
        end
    end
    return words[1] and words
end

for words in read do
    local command = commands[words[1]:upper()]
    local answer = command and command(words[2] or "", words[3] or "") or "-ERR unknown command\r\n"
    if not sock:send(answer) then
        return
    end
end
