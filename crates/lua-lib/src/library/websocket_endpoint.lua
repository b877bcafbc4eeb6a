-- What both ends of a WebSocket connection do; the client masks its frames, the server asks for masked ones.
local type, find, char, floor = type, string.find, string.char, math.floor
local protocol = require "resty.websocket.protocol"
local receive, send = protocol.recv_frame, protocol.send_frame

local endpoint = {}

-- Sizes and time limit of a new end.
function endpoint.set_up(self, sock, opts)
    opts = opts or {}
    local most = opts.max_payload_len or 65535
    self.sock, self.max_recv_len, self.max_send_len = sock, opts.max_recv_len or most, opts.max_send_len or most
    if opts.timeout then
        sock:settimeout(opts.timeout)
    end
    return self
end

-- Adds the methods; `masks` says whether an end masks its frames.
function endpoint.methods(class, force_masking, masks)
    function class.set_timeout(self, time)
        local sock = self.sock
        if not sock then
            return nil, nil, "not initialized yet"
        end
        return sock:settimeout(time)
    end

    function class.recv_frame(self)
        local sock = self.sock
        if self.fatal then
            return nil, nil, "fatal error already happened"
        elseif not sock then
            return nil, nil, "not initialized yet"
        end
        local data, kind, err = receive(sock, self.max_recv_len, force_masking)
        if not data and not find(err, ": timeout", 1, true) then
            self.fatal = true
        end
        return data, kind, err
    end

    function class.send_frame(self, fin, opcode, payload)
        local sock = self.sock
        if self.fatal then
            return nil, "fatal error already happened"
        elseif self.closed then
            return nil, "already closed"
        elseif not sock then
            return nil, "not initialized yet"
        end
        local bytes, err = send(sock, fin, opcode, payload, self.max_send_len, masks(self))
        if not bytes then
            self.fatal = true
        end
        return bytes, err
    end

    for name, opcode in pairs { send_text = 0x1, send_binary = 0x2, send_ping = 0x9, send_pong = 0xa } do
        class[name] = function(self, data)
            return class.send_frame(self, true, opcode, data)
        end
    end

    function class.send_close(self, code, message)
        local payload
        if code then
            if type(code) ~= "number" or code > 0x7fff then
                return nil, "bad status code"
            end
            payload = char(floor(code / 256) % 256, code % 256) .. (message or "")
        end
        return class.send_frame(self, true, 0x8, payload)
    end
end

return endpoint
