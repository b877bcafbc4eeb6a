local b = ...
local C, cx, ngx = b.C, b.cx, b.ngx
local type = type
local names = { [K.SINGLE] = "single", [K.MASTER] = "master", [K.WORKER] = "worker", [K.AGENT] = "privileged agent" }

b.G.package.loaded["ngx.process"] = {
    version = "0.1.33",
    type = function()
        return names[C.process_kind(cx)]
    end,
    enable_privileged_agent = function(connections)
        if ngx.get_phase() ~= "init" then
            return nil, "API disabled in the current context"
        end
        connections = connections or 512
        if type(connections) ~= "number" or connections < 0 then
            return nil, "bad 'connections' argument: number expected and greater than 0"
        end
        C.enable_agent(cx, connections)
        return true
    end,
    signal_graceful_exit = function()
        C.graceful_exit(cx)
    end,
    get_master_pid = function()
        return C.master_pid(cx)
    end,
}
