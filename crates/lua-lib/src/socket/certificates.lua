-- Certificates and keys as pointers, in front of secure.lua in one chunk. What is parsed here is an object of OpenSSL's too, where its library is
-- installed: code hands such pointers on to it. Objects that code made with that library are read with it.
local certificates = {}
getmetatable(b.ngx).certificates = certificates
do
    local ffi = require "ffi"
    local cast, istype, typeof, new, tostring = ffi.cast, ffi.istype, ffi.typeof, ffi.new, tostring
    local void, word, bytes = typeof "void *", typeof "uintptr_t", typeof "const unsigned char *"
    local place, room, out = typeof "const unsigned char *[1]", typeof "unsigned char [?]", typeof "unsigned char *[1]"

    local function address(object)
        return tonumber(cast(word, object))
    end

    local library
    local function declared()
        ffi.cdef [[
            void *lunette_stack_new(void) __asm__("OPENSSL_sk_new_null");
            int lunette_stack_push(void *stack, const void *item) __asm__("OPENSSL_sk_push");
            int lunette_stack_count(const void *stack) __asm__("OPENSSL_sk_num");
            void *lunette_stack_item(const void *stack, int place) __asm__("OPENSSL_sk_value");
            void lunette_stack_free(void *stack, void (*each)(void *)) __asm__("OPENSSL_sk_pop_free");
            void *lunette_certificate_read(void *into, const unsigned char **from, long length) __asm__("d2i_X509");
            int lunette_certificate_der(void *certificate, unsigned char **out) __asm__("i2d_X509");
            void lunette_certificate_free(void *certificate) __asm__("X509_free");
            void *lunette_key_read(void *into, const unsigned char **from, long length) __asm__("d2i_AutoPrivateKey");
            int lunette_key_der(const void *key, unsigned char **out) __asm__("i2d_PrivateKey");
            void lunette_key_free(void *key) __asm__("EVP_PKEY_free");
        ]]
        return ffi.C.lunette_stack_new, ffi.C.lunette_key_read
    end
    function certificates.is_loaded()
        if library == nil then
            library = pcall(declared) and ffi.C or false
        end
        return library
    end

    local function der_of(encode, object)
        local length = encode(object, nil)
        if length <= 0 then
            return ""
        end
        local der = room(length)
        encode(object, out(der))
        return ffi.string(der, length)
    end

    local free = {}
    function free.chain(stack)
        library.lunette_stack_free(stack, library.lunette_certificate_free)
    end
    function free.key(key)
        library.lunette_key_free(key)
    end

    local make = {}
    function make.chain(der)
        local stack, from = library.lunette_stack_new(), place(cast(bytes, der))
        local last = from[0] + #der
        while from[0] < last do
            local one = library.lunette_certificate_read(nil, from, last - from[0])
            if one == nil then
                free.chain(stack)
                return nil
            end
            library.lunette_stack_push(stack, one)
        end
        return stack
    end
    function make.key(der)
        return library.lunette_key_read(nil, place(cast(bytes, der)), #der)
    end

    local read = {}
    function read.chain(stack)
        local all = {}
        for item = 1, library.lunette_stack_count(stack) do
            all[item] = der_of(library.lunette_certificate_der, library.lunette_stack_item(stack, item - 1))
        end
        return table.concat(all)
    end
    function read.key(key)
        return der_of(library.lunette_key_der, key)
    end
    certificates.read, certificates.release = read.chain, free.chain
    local keep = { chain = R.tls_chain, key = R.tls_key }
    -- What objects that others made look like.
    local kinds = {
        ["ctype<struct stack_st *>"] = "chain", ["ctype<struct stack_st_X509 *>"] = "chain", ["ctype<struct evp_pkey_st *>"] = "key",
    }

    -- By addresses: the numbers of what is here, and the kinds of what is OpenSSL's too.
    local ids, natives = {}, {}
    local tls_free = C.tls_free
    local function drop(at)
        local id, kind = ids[at], natives[at]
        if id then
            ids[at], natives[at] = nil, nil
            tls_free(cx, id)
            if kind then
                free[kind](cast(void, at))
            end
        end
    end

    -- Addresses of objects that are gone.
    local note, noted = b.finalized()
    local function finalize(object)
        note(address(object))
    end

    -- A pointer for what has a number; its DER comes along, or an error in its place.
    function certificates.wrap(kind, id, der)
        if not id then
            return nil, der
        end
        local dead = noted()
        for i = 1, dead and #dead or 0 do
            drop(dead[i])
        end
        local made = der and certificates.is_loaded() and make[kind](der) or nil
        if made ~= nil then
            natives[address(made)] = kind
        else
            made = cast(void, cast(word, id))
        end
        ids[address(made)] = id
        return ffi.gc(cast(void, made), finalize)
    end

    -- The pointer of ours for this object, which lives as long as that is held.
    function certificates.own(kind, object)
        if type(object) ~= "cdata" or istype(void, object) then
            return object
        end
        if kinds[tostring(typeof(object))] ~= kind or object == nil or not certificates.is_loaded() then
            return nil
        end
        return (certificates.wrap(kind, keep[kind](read[kind](object))))
    end

    -- The number of an object of ours.
    function certificates.number(object)
        return type(object) == "cdata" and istype(void, object) and ids[address(object)] or nil
    end

    function certificates.free(object)
        drop(address(object))
    end
end

