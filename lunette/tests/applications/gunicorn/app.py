import os
import time


def slow():
    yield b'first\n'
    for _ in range(3000):
        if os.path.exists(os.environ['GATE']):
            break
        time.sleep(0.01)
    yield b'second\n'


def fails():
    yield b'so far\n'
    raise RuntimeError('on purpose')


def application(env, start_response):
    path = env['PATH_INFO']
    if path == '/env':
        names = ('REQUEST_METHOD', 'PATH_INFO', 'QUERY_STRING', 'HTTP_X_FORWARDED_FOR', 'wsgi.url_scheme')
        body = [' '.join(env[name] for name in names).encode() + b'\n']
    elif path == '/sized':
        body = env['wsgi.input'].read()
        start_response('200 OK', [('Content-Length', str(len(body)))])
        return [body]
    elif path == '/echo':
        # Without a length the answer comes in chunks, while the request is still read.
        body = iter(lambda: env['wsgi.input'].read(65536), b'')
    elif path == '/slow':
        body = slow()
    elif path == '/fails':
        body = fails()
    elif path == '/pid':
        body = [str(os.getpid()).encode()]
    else:
        start_response('404 Nothing Here', [('Content-Type', 'text/plain'), ('Set-Cookie', 'a=b'), ('Set-Cookie', 'c=d')])
        return [b'nothing\n']
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return body
