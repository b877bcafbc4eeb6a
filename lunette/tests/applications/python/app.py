import os
import time


def slow():
    yield b'first\n'
    for _ in range(3000):
        if os.path.exists(os.environ['GATE']):
            break
        time.sleep(0.01)
    yield b'second\n'


def application(env, start_response):
    path = env['PATH_INFO'].rsplit('/', 1)[1]
    if path == 'env':
        text = '%s %s %s %s\n' % (env['REQUEST_METHOD'], env['PATH_INFO'], env['QUERY_STRING'], env['HTTP_HOST'])
    elif path == 'cookie':
        text = '%s %d\n' % (env['HTTP_COOKIE'], len(env['HTTP_X_LONG']))
    elif path == 'echo':
        body = env['wsgi.input'].read(int(env['CONTENT_LENGTH']))
        start_response('200 OK', [('Content-Length', str(len(body)))])
        return [body]
    elif path == 'slow':
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return slow()
    else:
        start_response('404 Nothing Here', [('X-Made', 'here')])
        return [b'nothing\n']
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [text.encode()]
