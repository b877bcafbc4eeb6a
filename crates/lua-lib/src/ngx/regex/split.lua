
-- ngx.re: what follows continues regex.lua.
local split_options = { version = version }
G.package.loaded["ngx.re"] = split_options

-- Writes the pieces of `subj` from `first` on into `pieces`: how many, where the rest begins, where the last search would
-- go on; or nil and an error. At most `max` pieces are meant to be made, the rest included; 0: any number.
local function cut(e, subj, first, max, pieces)
    local n, count, len, pos = 0, 1, #subj, first - 1
    local seen_empty = false
    while pos <= len and (max <= 0 or count < max) do
        local rc = search(cx, e.id, subj, len, pos)
        if rc == K.NO_MATCH then
            break
        end
        if rc < 0 then
            return nil, "pcre_exec() failed: " .. rc
        end
        local from, to = caps[0] + 1, caps[1] + 1
        pos = to - 1
        if from == to then
            seen_empty, pos = true, step(e, subj, pos)
        end
        if from > first or not seen_empty then
            count, n = count + 1, n + 1
            pieces[n] = sub(subj, first, from - 1)
            if rc > 1 and caps[2] >= 0 then
                n = n + 1
                pieces[n] = sub(subj, caps[2] + 1, caps[3])
            end
            first = to
            if first > len then
                break
            end
        end
    end
    return n, first, pos
end

function split_options.split(subj, regex, opts, ctx, max, pieces)
    subj = tostring(subj)
    max = max or 0
    if pieces ~= nil and type(pieces) ~= "table" then
        error("res is not a table", 2)
    end
    pieces = pieces or {}
    local first = ctx and ctx.pos or 1
    if first > #subj then
        pieces[1] = nil
        return pieces
    end
    first = first < 1 and 1 or floor(first)
    local e, err = lookup(regex, opts)
    if not e then
        return nil, err
    end
    local n, rest, pos = cut(e, subj, first, max, pieces)
    if not e.keep then
        drop(e)
    end
    if not n then
        return nil, rest
    end
    if ctx then
        ctx.pos = pos
    end
    if max <= 0 and rest > #subj then
        while n > 0 and pieces[n] == "" do
            pieces[n], n = nil, n - 1
        end
    else
        n = n + 1
        pieces[n] = sub(subj, rest)
    end
    pieces[n + 1] = nil
    return pieces
end

function split_options.opt(option, value)
    if option ~= "jit_stack_size" then
        error("unrecognized option name", 2)
    end
    if size > 0 then
        error("changing jit stack size is not allowed when some regexs have already been compiled and cached", 2)
    end
    if not C.regex_jit_stack(cx, value) then
        error("pcre jit stack allocation failed", 2)
    end
end
