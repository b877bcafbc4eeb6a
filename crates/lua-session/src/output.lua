local b = ...
local C, R, cx, text, ngx = b.C, b.R, b.cx, b.text, b.ngx
local error, select, type = error, select, type
local RAISE, raised, PENDING, wait = b.RAISE, b.raised, b.PENDING, b.wait
local native_emit = b.N.emit
local c_say, c_print, begin, done, c_add, c_add_number = C.say_text, C.print_text, C.begin, C.done, C.add, C.add_number

-- Sends what was gathered where a Lua filter looks at it.
local function emit()
    local done, message, level = native_emit()
    if done == RAISE then
        return raised(message, level)
    end
    if done == PENDING then
        return wait()
    end
    if done then
        return done
    end
    return nil, message
end

-- Functions that call through the FFI have a fixed number of arguments, so that they can be compiled.
local function finish(rc)
    if rc == K.DONE then
        return 1
    end
    if rc == K.REFUSED then
        return nil, text()
    end
    if rc == K.SLOW then
        return emit()
    end
    error(text(), 2)
end

local function say_text(s)
    return finish(c_say(cx, s, #s))
end

local function print_text(s)
    return finish(c_print(cx, s, #s))
end

-- Adds a simple value; false for one that needs the slow way.
local function add(v)
    local t = type(v)
    if t == "string" then
        c_add(cx, v, #v)
    elseif t == "number" then
        c_add_number(cx, v)
    elseif v == nil then
        c_add(cx, "nil", 3)
    elseif v == true then
        c_add(cx, "true", 4)
    elseif v == false then
        c_add(cx, "false", 5)
    else
        return false
    end
    return true
end

local function more(n, p, q, r, s, t, u)
    return add(p) and (n < 2 or add(q)) and (n < 3 or add(r)) and (n < 4 or add(s)) and (n < 5 or add(t)) and (n < 6 or add(u))
end

-- Nil: the slow way must do it.
local function put(newline, n, p, q, r, s, t, u)
    local rc = begin(cx)
    if rc == K.DONE then
        if (n < 1 or add(p)) and (n < 2 or add(q)) and (n < 3 or add(r)) and (n < 4 or add(s)) and (n < 5 or add(t))
            and (n < 6 or add(u)) then
            rc = done(cx, newline)
            return rc
        end
        return nil
    end
    return rc
end

-- The same for more than six values.
local function put_many(newline, n, p, q, r, s, t, u, ...)
    local rc = begin(cx)
    if rc == K.DONE then
        if add(p) and add(q) and add(r) and add(s) and add(t) and add(u) and more(n - 6, ...) then
            return done(cx, newline)
        end
        return nil
    end
    return rc
end

-- `one` sends a string, `row` whatever else is not simple.
local function printer(newline, one, row)
    return function(...)
        local n = select("#", ...)
        if n == 1 then
            local s = ...
            if type(s) == "string" then
                return one(s)
            end
        end
        if n <= 12 then
            local rc
            if n <= 6 then
                rc = put(newline, n, ...)
            else
                rc = put_many(newline, n, ...)
            end
            if rc == K.DONE then
                return 1
            end
            if rc then
                return finish(rc)
            end
        end
        return row(...)
    end
end

ngx.say, ngx.print = printer(1, say_text, R.say), printer(0, print_text, R.print)

ngx.flush, ngx.eof = R.flush, R.eof
if R.send_headers then
    ngx.send_headers = R.send_headers
end
