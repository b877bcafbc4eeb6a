-- Reads a multipart/form-data body piece by piece (README of lua-resty-upload).
local ngx, type, select, setmetatable, match, concat = ngx, type, select, setmetatable, string.match, table.concat

local upload = { _VERSION = "0.12" }
local meta = { __index = upload }

local CHUNK, LINE = 4096, 512
local read = {}

local function boundary_of(header)
    if type(header) == "table" then
        header = header[1]
    end
    if header then
        return match(header, ';%s*boundary="([^"]+)"') or match(header, ';%s*boundary=([^",;]+)')
    end
end

function upload.new(_, chunk_size, max_line_size, preserve_body)
    local boundary = boundary_of(ngx.req.get_headers()["content-type"])
    if not boundary then
        return nil, "no boundary defined in Content-Type"
    end
    local sock, err = ngx.req.socket()
    if not sock then
        return nil, err
    end
    local part, line
    part, err = sock:receiveuntil("--" .. boundary)
    if not part then
        return nil, err
    end
    line, err = sock:receiveuntil("\r\n")
    if not line then
        return nil, err
    end
    return setmetatable({
        sock = sock, size = chunk_size or CHUNK, line_size = max_line_size or LINE, line = line, part = part,
        boundary = boundary, state = "preamble", raw = preserve_body and {} or nil,
    }, meta)
end

function upload.set_timeout(self, timeout)
    if not self.sock then
        return nil, "not initialized"
    end
    return self.sock:settimeout(timeout)
end

-- What was read, for those who read the body again.
local function keep(self, ...)
    local raw = self.raw
    if raw then
        for i = 1, select("#", ...) do
            raw[#raw + 1] = (select(i, ...))
        end
    end
end

local function read_line(self)
    local line, err = self.line(self.line_size)
    if not line then
        return nil, err
    end
    local rest
    rest, err = self.line(1)
    if rest then
        return nil, "line too long: " .. line .. rest .. "..."
    end
    if err then
        return nil, err
    end
    keep(self, line, "\r\n")
    return line
end

-- Behind the last boundary nothing is of interest.
local function finish(self)
    local sock, size = self.sock, self.size
    while true do
        local data, err, rest = sock:receive(size)
        keep(self, data or rest or "")
        if not data then
            if err ~= "closed" then
                return nil, err
            end
            break
        end
    end
    if self.raw then
        local body = concat(self.raw)
        ngx.req.init_body(#body > 0 and #body or 1)
        ngx.req.append_body(body)
        ngx.req.finish_body()
    end
    self.state = "eof"
    return true
end

function read.body(self)
    local chunk, err = self.part(self.size)
    if err then
        return nil, nil, err
    end
    if chunk then
        keep(self, chunk)
        return "body", chunk
    end
    local mark
    mark, err = self.sock:receive(2)
    if not mark then
        return nil, nil, err
    end
    keep(self, "\r\n--", self.boundary, mark)
    local ok = true
    if mark == "--" then
        ok, err = finish(self)
    else
        self.state = "header"
        if mark ~= "\r\n" then
            ok, err = read_line(self)
        end
    end
    if not ok then
        return nil, nil, err
    end
    return "part_end"
end

function read.header(self)
    local line, err = read_line(self)
    if not line then
        return nil, nil, err
    end
    if line == "" then
        self.state = "body"
        return read.body(self)
    end
    local name, value = match(line, "([^: \t]+)%s*:%s*(.+)")
    if not name then
        return "header", line
    end
    return "header", { name, value, line }
end

function read.preamble(self)
    local chunk, err
    repeat
        chunk, err = self.part(self.size)
        if err then
            return nil, nil, err
        end
        keep(self, chunk)
    until not chunk
    keep(self, "--", self.boundary)
    local ok
    ok, err = read_line(self)
    if not ok then
        return nil, nil, err
    end
    self.part, err = self.sock:receiveuntil("\r\n--" .. self.boundary)
    if not self.part then
        return nil, nil, err
    end
    self.state = "header"
    return read.header(self)
end

function read.eof()
    return "eof"
end

function upload.read(self)
    local kind, value, err = read[self.state](self)
    return kind, value, err
end

return upload
