local ffi = require "ffi"
local cdef, find, pcall = ffi.cdef, string.find, pcall

-- What resty.core.base and its like declare. A request is a handle: nothing looks into it.
cdef [[
typedef unsigned char u_char;
void free(void *ptr);
typedef struct { size_t len; const unsigned char *data; } ngx_str_t;
typedef struct ngx_http_request_s ngx_http_request_t;
typedef struct { int len; const unsigned char *data; } ngx_http_lua_ffi_str_t;
typedef struct { ngx_http_lua_ffi_str_t key, value; } ngx_http_lua_ffi_table_elt_t;
unsigned int ngx_http_lua_ffi_crc32_short(const unsigned char *src, size_t len);
unsigned int ngx_http_lua_ffi_crc32_long(const unsigned char *src, size_t len);
void ngx_http_lua_ffi_md5_bin(const unsigned char *src, size_t len, unsigned char *dst);
void ngx_http_lua_ffi_md5(const unsigned char *src, size_t len, unsigned char *dst);
void ngx_http_lua_ffi_sha1_bin(const unsigned char *src, size_t len, unsigned char *dst);
int ngx_http_lua_ffi_worker_pid(void);
int ngx_http_lua_ffi_worker_id(void);
]]
cdef [[
struct ngx_stream_lua_request_s;
typedef struct ngx_stream_lua_request_s ngx_stream_lua_request_t;
typedef struct { int len; const unsigned char *data; } ngx_stream_lua_ffi_str_t;
]]

-- Functions of OpenResty that are written in Lua here are found before those of the program.
local natives = ffi.C
ffi.C = setmetatable({}, {
    __index = natives,
    __newindex = function(_, name, value)
        natives[name] = value
    end,
})

-- Libraries that a process of nginx has in it, and by which words a declaration of their functions is known.
local libraries = {
    {
        names = { "crypto.so.3", "crypto.so.1.1", "crypto" },
        words = {
            "EVP_", "HMAC", "BN_", "RSA_", "X509", "RAND_", "OPENSSL_", "OpenSSL_", "ERR_", "EC_", "ECDSA_", "AES_", "MD5_", "SHA1_", "SHA224_",
            "SHA256_", "SHA384_", "SHA512_", "DES_", "BIO_", "ASN1_", "PEM_", "i2d_", "d2i_", "CRYPTO_", "OBJ_", "PKCS", "DH_", "ENGINE_",
            "OSSL_", "CMAC_",
        },
    },
    { names = { "ssl.so.3", "ssl.so.1.1", "ssl" }, words = { "SSL_", "TLS_", "TLSv1", "DTLS" } },
    { names = { "z.so.1", "z" }, words = { "inflate", "deflate", "adler32", "zlibVersion", "compress", "gzopen" } },
    { names = { "pcre2-8.so.0", "pcre2-8" }, words = { "pcre2_" } },
}

-- In a process of nginx OpenSSL is at work already: a provider that code loads comes in addition to the default one, not in its place.
libraries[1].start = function()
    cdef [[ int lunette_provider(void *context, const char *name, int keeps_fallbacks) __asm__("OSSL_PROVIDER_try_load"); ]]
    natives.lunette_provider(nil, "default", 1)
end

local function load(library)
    library.loaded = true
    for _, name in ipairs(library.names) do
        if pcall(ffi.load, find(name, ".so", 1, true) and "lib" .. name or name, true) then
            return library.start and pcall(library.start)
        end
    end
end

-- They are loaded when their functions are first declared; `ffi.C` finds them from then on.
function ffi.cdef(text, ...)
    if type(text) == "string" then
        for _, library in ipairs(libraries) do
            for i = 1, library.loaded and 0 or #library.words do
                if find(text, "%f[%w_]" .. library.words[i]) then
                    load(library)
                    break
                end
            end
        end
    end
    return cdef(text, ...)
end
