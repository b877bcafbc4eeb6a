-- lunette resty load.lua PORT COUNT CONNECTIONS PATH [post BYTES | put BYTES | form | json | chunked | header NAME VALUE | fields NUMBER
--     | browser | head | pipelined | close | tls | h2 | h2post BYTES | tunnel MESSAGES]
-- Sends COUNT requests, one after the other on each of CONNECTIONS connections (with `close`: each on its own; `pipelined`: four at once), and
-- checks the answers. `tunnel` upgrades a connection of its own and sends messages of five bytes over it, each of which comes back. `browser` sends a browser's fields, and each request differs from the one before.
local port, count, connections, path, kind = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), arg[4], arg[5]

local function connect()
    local socket = ngx.socket.tcp()
    socket:settimeout(20000)
    assert(socket:connect("127.0.0.1", port))
    if kind == "tls" then
        assert(socket:sslhandshake(nil, "localhost", false))
    end
    return socket
end

local browser_fields = {
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://www.example.com/start",
    "Connection: keep-alive",
    "Cookie: theme=dark; session=4f1c2a9be0; consent=yes",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
}

local function request_text()
    local lines = { "Host: 127.0.0.1:" .. port }
    local method, body = "GET", ""
    if kind == "browser" then
        for _, line in ipairs(browser_fields) do
            lines[#lines + 1] = line
        end
    elseif kind == "head" then
        method = "HEAD"
    elseif kind == "json" then
        method, body = "POST", '{"name":"list","items":[{"id":1,"tags":["a","b"]},{"id":2,"price":9.5}],"total":2,"open":true,"note":"a \\"word\\""}'
        lines[#lines + 1] = "Content-Type: application/json"
    elseif kind == "chunked" then
        lines[#lines + 1] = "Transfer-Encoding: chunked"
        return "POST " .. path .. " HTTP/1.1\r\n" .. table.concat(lines, "\r\n") .. "\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
    elseif kind == "fields" then
        for i = 1, tonumber(arg[6]) do
            lines[#lines + 1] = "X-Field-" .. i .. ": value of field " .. i
        end
    elseif kind == "post" or kind == "put" then
        method, body = kind:upper(), string.rep("x", tonumber(arg[6]))
    elseif kind == "form" then
        method, body = "POST", "user=jane+doe&color=dark%20blue&size=12"
        lines[#lines + 1] = "Content-Type: application/x-www-form-urlencoded"
    elseif kind == "header" then
        lines[#lines + 1] = arg[6] .. ": " .. table.concat(arg, " ", 7)
    elseif kind == "close" then
        lines[#lines + 1] = "Connection: close"
    end
    if body ~= "" then
        lines[#lines + 1] = "Content-Length: " .. #body
    end
    return method .. " " .. path .. " HTTP/1.1\r\n" .. table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

local request = request_text()

local function skip_chunks(socket)
    repeat
        local size = tonumber(assert(socket:receive("*l")), 16)
        assert(socket:receive(size + 2))
    until size == 0
end

local function receive(socket)
    local status = tonumber(assert(socket:receive("*l")):match("^HTTP/1%.1 (%d+)"))
    local length, chunked
    repeat
        local line = assert(socket:receive("*l"))
        local lower = line:lower()
        length = length or tonumber(lower:match("^content%-length: (%d+)"))
        chunked = chunked or lower == "transfer-encoding: chunked"
    until line == ""
    if chunked then
        skip_chunks(socket)
    elseif length and length > 0 and status ~= 304 and kind ~= "head" then
        assert(socket:receive(length))
    end
    assert(status and status < 500, path .. ": status " .. tostring(status))
end

local function exchange(socket, number)
    if kind == "browser" then
        assert(socket:send((request:gsub(" HTTP/", (path:find("?", 1, true) and "&" or "?") .. "n=" .. number .. " HTTP/", 1))))
    else
        assert(socket:send(request))
    end
    receive(socket)
end

local function http1(requests)
    local socket = kind ~= "close" and connect()
    for i = 1, requests do
        local own = socket or connect()
        exchange(own, i)
        if not socket then
            own:close()
        end
    end
end

local function pipelined(requests)
    local socket = connect()
    for _ = 1, requests / 4 do
        assert(socket:send(request:rep(4)))
        for _ = 1, 4 do
            receive(socket)
        end
    end
end

-- HTTP/2 with prior knowledge (RFC 9113): each stream's head is written without the dynamic table.
local function frame(kind_of_frame, flags, stream, payload)
    local function byte(n, shift)
        return bit.band(bit.rshift(n, shift), 255)
    end
    return string.char(byte(#payload, 16), byte(#payload, 8), byte(#payload, 0), kind_of_frame, flags,
        byte(stream, 24), byte(stream, 16), byte(stream, 8), byte(stream, 0)) .. payload
end

local function until_end(socket, stream)
    while true do
        local a, b, c, kind_of_frame, flags, d, e, f, g = assert(socket:receive(9)):byte(1, 9)
        local length = a * 65536 + b * 256 + c
        if length > 0 then
            assert(socket:receive(length))
        end
        assert(kind_of_frame ~= 3 and kind_of_frame ~= 7, "stream or connection was refused")
        local id = ((d * 256 + e) * 256 + f) * 256 + g
        if kind_of_frame == 0 and length > 0 then
            local room = string.char(0, bit.rshift(length, 16), bit.band(bit.rshift(length, 8), 255), bit.band(length, 255))
            assert(socket:send(frame(8, 0, 0, room)))
        end
        if id == stream and bit.band(flags, 1) == 1 and kind_of_frame < 2 then
            return
        end
    end
end

local function http2(requests)
    local socket = connect()
    local host = "127.0.0.1:" .. port
    local body = kind == "h2post" and string.rep("x", tonumber(arg[6]))
    local head = (body and "\131" or "\130") .. "\134\4" .. string.char(#path) .. path .. "\1" .. string.char(#host) .. host
    assert(socket:send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" .. frame(4, 0, 0, "") .. frame(4, 1, 0, "")))
    for i = 1, requests do
        local stream = 2 * i - 1
        assert(socket:send(frame(1, body and 4 or 5, stream, head)))
        for at = 1, body and #body or 0, 16384 do
            local piece = body:sub(at, at + 16383)
            assert(socket:send(frame(0, at + #piece > #body and 1 or 0, stream, piece)))
        end
        until_end(socket, stream)
    end
end

local function tunnels(requests)
    local messages = tonumber(arg[6])
    for _ = 1, requests do
        local socket = connect()
        assert(socket:send("GET " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1:" .. port .. "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"))
        local head = assert(socket:receiveuntil("\r\n\r\n"))()
        assert(head:find(" 101 ", 1, true), head)
        for _ = 1, messages do
            assert(socket:send("hello"))
            assert(socket:receive(5) == "hello")
        end
        socket:close()
    end
end

local loads = { h2 = http2, h2post = http2, pipelined = pipelined, tunnel = tunnels }

local threads = {}
for i = 1, connections do
    threads[i] = ngx.thread.spawn(loads[kind] or http1, math.floor(count / connections))
end
for _, thread in ipairs(threads) do
    local ok, err = ngx.thread.wait(thread)
    assert(ok, err)
end
